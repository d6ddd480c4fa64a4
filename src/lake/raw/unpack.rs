//! What files are packed by, and what their text is encoded in.

use std::io::{BufRead as _, BufReader, Read, Result};

use encoding_rs_io::DecodeReaderBytesBuilder;

/// Bytes that are read at once.
const AT_ONCE: usize = 256 << 10;

/// What is packed by the means that the name tells.
pub(super) fn unpacked(input: Box<dyn Read + Send>, path: &str) -> Result<Box<dyn Read + Send>> {
    let ending = path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    // Each takes several packed pieces one after the other, as tools make them that append.
    Ok(match ending.as_str() {
        "gz" => Box::new(flate2::read::MultiGzDecoder::new(input)),
        "zst" => Box::new(zstd::stream::read::Decoder::new(input)?),
        "bz2" => Box::new(bzip2::read::MultiBzDecoder::new(input)),
        _ => input,
    })
}

/// Text as UTF-8, without a byte order mark. Only what is said to be encoded otherwise, or has the mark of UTF-16, is
/// decoded: bytes that are no UTF-8 must show in the row where they stand.
pub(super) fn decoded(input: Box<dyn Read + Send>, encoding: Option<&str>) -> Result<Box<dyn Read + Send>> {
    let mut input = BufReader::with_capacity(AT_ONCE, input);
    let start = input.fill_buf()?;
    let is_utf16 = start.starts_with(&[0xFF, 0xFE]) || start.starts_with(&[0xFE, 0xFF]);
    if start.starts_with(b"\xEF\xBB\xBF") {
        input.consume(3);
        return Ok(Box::new(input));
    }
    let encoding = encoding.and_then(|label| encoding_rs::Encoding::for_label(label.as_bytes()));
    let encoding = encoding.filter(|encoding| *encoding != encoding_rs::UTF_8);
    if encoding.is_none() && !is_utf16 {
        return Ok(Box::new(input));
    }
    let reader = DecodeReaderBytesBuilder::new().encoding(encoding).strip_bom(true).build(input);
    Ok(Box::new(BufReader::with_capacity(AT_ONCE, reader)))
}
