//! The blocks of an Avro file, looked through before anybody reads rows of them.
//!
//! What decodes rows takes a damaged file's word: where a block holds more than the rows that it counts, it never ends, and
//! where a file ends within a block, it leaves that out. So each block is unpacked here, held against the schema, and only
//! then passed on, as a file of its own that is not packed.

use std::io::{BufRead, Error, ErrorKind, Read, Result};

use arrow_avro::compression::CompressionCodec;
use arrow_avro::reader::read_header_info;

use super::shape::{Shapes, number, without_dots};

/// Bytes of a block, at most, as it is unpacked: more, and its length is damaged.
const LARGEST: u64 = 256 << 20;

/// Bytes of the mark that each block ends with.
const MARK: usize = 16;

/// A file as one that is not packed.
pub(super) struct Blocks<R> {
    input: R,
    codec: Option<CompressionCodec>,
    mark: [u8; MARK],
    shapes: Shapes,
    /// What is to be passed on, from `at`.
    out: Vec<u8>,
    at: usize,
}

impl<R: BufRead> Blocks<R> {
    /// Reads a file's header.
    pub(super) fn of(mut input: R) -> Result<Self> {
        let header = read_header_info(&mut input).map_err(Error::other)?;
        let schema = header.writer_schema().map_err(Error::other)?.json_string;
        let codec = header.compression().map_err(Error::other)?;
        if codec == Some(CompressionCodec::Xz) {
            return Err(Error::other("its blocks are packed by xz, which is not read"));
        }
        let unknown = || Error::other("its schema is not one of Avro");
        let mut parsed: serde_json::Value = serde_json::from_str(&schema).map_err(|_| unknown())?;
        let shapes = Shapes::of(&parsed).ok_or_else(unknown)?;
        without_dots(&mut parsed);
        let schema = parsed.to_string();
        let mark = header.sync();
        let mut out = b"Obj\x01".to_vec();
        out.push(zigzag(1)[0]);
        for text in ["avro.schema", &schema] {
            out.extend(zigzag(text.len()));
            out.extend_from_slice(text.as_bytes());
        }
        out.push(0);
        out.extend_from_slice(&mark);
        Ok(Self { input, codec, mark, shapes, out, at: 0 })
    }

    /// Puts the next block into `out`; nothing at the end of the file.
    fn next(&mut self) -> Result<()> {
        self.out.clear();
        self.at = 0;
        if self.input.fill_buf()?.is_empty() {
            return Ok(());
        }
        let (rows, size) = (self.number()?, self.number()?);
        let size = u64::try_from(size).ok().filter(|size| *size <= LARGEST).ok_or_else(damaged)?;
        let mut packed = Vec::new();
        let mut mark = [0; MARK];
        if (&mut self.input).take(size).read_to_end(&mut packed)? as u64 != size {
            return Err(cut_off());
        }
        self.input.read_exact(&mut mark).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => cut_off(),
            _ => error,
        })?;
        if mark != self.mark {
            return Err(damaged());
        }
        let bytes = unpacked(self.codec, packed)?;
        let count = usize::try_from(rows).map_err(|_| damaged())?;
        if !self.shapes.is_rows(&bytes, count) {
            return Err(damaged());
        }
        self.out.extend(zigzag(count));
        self.out.extend(zigzag(bytes.len()));
        self.out.extend_from_slice(&bytes);
        self.out.extend_from_slice(&mark);
        Ok(())
    }

    fn number(&mut self) -> Result<i64> {
        let mut bytes = Vec::new();
        for byte in (&mut self.input).bytes().take(10) {
            bytes.push(byte?);
            if bytes.last().is_some_and(|byte| byte & 0x80 == 0) {
                return number(&mut bytes.as_slice()).ok_or_else(damaged);
            }
        }
        Err(cut_off())
    }
}

impl<R: BufRead> Read for Blocks<R> {
    fn read(&mut self, to: &mut [u8]) -> Result<usize> {
        // A block may have no rows.
        if self.at == self.out.len() {
            self.next()?;
        }
        let read = (&self.out[self.at..]).read(to)?;
        self.at += read;
        Ok(read)
    }
}

fn damaged() -> Error {
    Error::other("it is damaged: a block is not the rows that it counts")
}

fn cut_off() -> Error {
    Error::other("it is cut off: its last block does not end")
}

fn unpacked(codec: Option<CompressionCodec>, packed: Vec<u8>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut reader: Box<dyn Read + '_> = match codec {
        None => return Ok(packed),
        Some(CompressionCodec::Deflate) => Box::new(flate2::read::DeflateDecoder::new(&*packed)),
        Some(CompressionCodec::ZStandard) => Box::new(zstd::stream::read::Decoder::new(&*packed)?),
        Some(CompressionCodec::Bzip2) => Box::new(bzip2::read::BzDecoder::new(&*packed)),
        Some(CompressionCodec::Snappy) => {
            let (packed, sum) = packed.split_last_chunk::<4>().ok_or_else(damaged)?;
            if snap::raw::decompress_len(packed).map_err(Error::other)? as u64 > LARGEST {
                return Err(damaged());
            }
            let bytes = snap::raw::Decoder::new().decompress_vec(packed).map_err(Error::other)?;
            let mut found = flate2::Crc::new();
            found.update(&bytes);
            return if found.sum() == u32::from_be_bytes(*sum) { Ok(bytes) } else { Err(damaged()) };
        }
        Some(CompressionCodec::Xz) => return Err(damaged()),
    };
    reader.by_ref().take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST { Err(damaged()) } else { Ok(bytes) }
}

/// A number that is not negative, as Avro writes it.
fn zigzag(number: usize) -> Vec<u8> {
    let mut rest = (number as u64) << 1;
    let mut bytes = Vec::with_capacity(10);
    loop {
        // Its lowest seven bits.
        let low = rest.to_le_bytes()[0] & 0x7F;
        rest >>= 7;
        if rest == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
