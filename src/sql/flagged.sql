-- Each row of the batch with what it is examined for (w), and what it fails (f).
SELECT s.*,
  {flags}{columns}
FROM gated AS s{joins}
