//! On which line of a text a byte stands.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{Read, Result};
use std::rc::Rc;

/// Where lines end, as far as was read and not asked for yet.
#[derive(Default)]
struct Ends {
    /// The offset of each line feed, and whether a carriage return stands before it.
    feeds: VecDeque<(u64, bool)>,
    read: u64,
    last: u8,
    /// Lines that end before the place that was asked for last.
    passed: i64,
    quotes: Quotes,
}

/// Whether a byte stands within quotes, by the rules of the CSV reader.
#[derive(Default)]
struct Quotes {
    /// What quotes, separates and escapes, where that is looked at.
    signs: Option<(u8, u8, Option<u8>)>,
    place: Place,
}

/// Where in a record the next byte stands.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    FieldBegins,
    Plain,
    Quoted,
    Escaped,
    /// After a quote within quotes: the first of two, or the end.
    MayEnd,
}

impl Quotes {
    fn pass(&mut self, bytes: &[u8]) {
        let Some((quote, delimiter, escape)) = self.signs else { return };
        let ends = |byte: u8| byte == delimiter || matches!(byte, b'\r' | b'\n');
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            // Most bytes are passed over at once: only a quote, and what stands before it, tells where it is.
            let skipped = match self.place {
                Place::Plain | Place::FieldBegins => memchr::memchr(quote, rest),
                Place::Quoted => match escape {
                    Some(escape) => memchr::memchr2(quote, escape, rest),
                    None => memchr::memchr(quote, rest),
                },
                Place::Escaped | Place::MayEnd => Some(0),
            };
            let is_quoted = self.place == Place::Quoted;
            match skipped {
                Some(0) => {}
                Some(at) => {
                    if !is_quoted {
                        self.place = if ends(rest[at - 1]) { Place::FieldBegins } else { Place::Plain };
                    }
                    rest = &rest[at..];
                    continue;
                }
                None => {
                    if !is_quoted {
                        let last = rest.last().copied().unwrap_or_default();
                        self.place = if ends(last) { Place::FieldBegins } else { Place::Plain };
                    }
                    return;
                }
            }
            self.place = match self.place {
                Place::FieldBegins if *byte == quote => Place::Quoted,
                Place::Quoted if Some(*byte) == escape => Place::Escaped,
                Place::Quoted if *byte == quote => Place::MayEnd,
                Place::Quoted | Place::Escaped => Place::Quoted,
                Place::MayEnd if *byte == quote && escape.is_none() => Place::Quoted,
                _ if ends(*byte) => Place::FieldBegins,
                _ => Place::Plain,
            };
            rest = after;
        }
    }
}

/// Tells on which line what was read stands: a CSV reader counts lines from where the record before ended, which in a file
/// with carriage returns is not where the next one begins.
#[derive(Clone, Default)]
pub(super) struct Lines(Rc<RefCell<Ends>>);

/// Passes bytes through, and notes where lines end.
pub(super) struct Noting<R>(R, Lines);

impl Lines {
    /// The same, which also tells whether what was read ends within quotes.
    pub(super) fn of_quotes(quote: u8, delimiter: u8, escape: Option<u8>) -> Self {
        let quotes = Quotes { signs: Some((quote, delimiter, escape)), ..Quotes::default() };
        Self(Rc::new(RefCell::new(Ends { quotes, ..Ends::default() })))
    }

    pub(super) fn ends_in_quotes(&self) -> bool {
        matches!(self.0.borrow().quotes.place, Place::Quoted | Place::Escaped)
    }

    pub(super) fn noting<R: Read>(&self, input: R) -> Noting<R> {
        Noting(input, self.clone())
    }

    /// The line, from 1, of the first byte from this offset on that ends no line. Offsets that are asked for may only grow.
    pub(super) fn of(&self, offset: u64) -> i64 {
        let mut ends = self.0.borrow_mut();
        let mut at = offset;
        while let Some((feed, after_return)) = ends.feeds.front().copied() {
            if feed == at || (feed == at + 1 && after_return) {
                at = feed + 1;
            } else if feed > at {
                break;
            }
            ends.feeds.pop_front();
            ends.passed += 1;
        }
        ends.passed + 1
    }
}

impl<R: Read> Read for Noting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.0.read(buffer)?;
        let mut ends = self.1.0.borrow_mut();
        for at in memchr::memchr_iter(b'\n', &buffer[..read]) {
            let before = if at == 0 { ends.last } else { buffer[at - 1] };
            let feed = ends.read + at as u64;
            ends.feeds.push_back((feed, before == b'\r'));
        }
        ends.quotes.pass(&buffer[..read]);
        ends.read += read as u64;
        if let Some(last) = buffer[..read].last() {
            ends.last = *last;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, offsets: &[u64], piece: usize) -> Vec<i64> {
        let lines = Lines::default();
        let mut noting = lines.noting(text.as_bytes());
        let mut buffer = vec![0; piece];
        while noting.read(&mut buffer).unwrap() > 0 {}
        offsets.iter().map(|offset| lines.of(*offset)).collect()
    }

    #[test]
    fn a_text_that_ends_within_quotes_is_told() {
        let ends = |text: &str, escape: Option<u8>| {
            let lines = Lines::of_quotes(b'"', b',', escape);
            std::io::copy(&mut lines.noting(text.as_bytes()), &mut std::io::sink()).unwrap();
            lines.ends_in_quotes()
        };
        for (text, expected) in [
            ("a,\"b\"\n", false),
            ("a,\"b\nc\n", true),
            ("a,\"b\"\"", true),
            ("a,\"b\"\"\"", false),
            ("a,5\" pipe\n", false),
            ("a, \"b\n", false),
            ("", false),
        ] {
            assert_eq!(ends(text, None), expected, "{text}");
        }
        assert!(ends("a,\"b\\\"", Some(b'\\')));
        assert!(!ends("a,\"b\\\"\"", Some(b'\\')));
    }

    #[test]
    fn quotes_are_followed_byte_by_byte_or_at_once() {
        // Every text of six of these signs, in pieces of every size.
        let signs = [b'"', b',', b'\n', b'\r', b'x', b'\\'];
        for number in 0..6_usize.pow(6) {
            let text: Vec<u8> = (0..6).map(|at| signs[number / 6_usize.pow(at) % 6]).collect();
            for escape in [None, Some(b'\\')] {
                // As it is followed byte by byte, by the rules alone.
                let mut place = Place::FieldBegins;
                for byte in &text {
                    let ends = matches!(byte, b',' | b'\r' | b'\n');
                    place = match place {
                        Place::FieldBegins if *byte == b'"' => Place::Quoted,
                        Place::Quoted if Some(*byte) == escape => Place::Escaped,
                        Place::Quoted if *byte == b'"' => Place::MayEnd,
                        Place::Quoted | Place::Escaped => Place::Quoted,
                        Place::MayEnd if *byte == b'"' && escape.is_none() => Place::Quoted,
                        _ if ends => Place::FieldBegins,
                        _ => Place::Plain,
                    };
                }
                let ends = |piece: usize| {
                    let mut quotes = Quotes { signs: Some((b'"', b',', escape)), ..Quotes::default() };
                    text.chunks(piece).for_each(|piece| quotes.pass(piece));
                    matches!(quotes.place, Place::Quoted | Place::Escaped)
                };
                let expected = matches!(place, Place::Quoted | Place::Escaped);
                assert!((1..7).all(|piece| ends(piece) == expected), "{text:?}, {escape:?}");
            }
        }
    }

    #[test]
    fn what_ends_lines_before_a_byte_is_counted_however_it_was_read() {
        for piece in [1, 2, 3, 100] {
            assert_eq!(of("a\nb\n\nc", &[0, 2, 4], piece), [1, 2, 4], "{piece}");
            // A reader stops after the carriage return.
            assert_eq!(of("a\r\nb\r\n\r\nc", &[0, 2, 5], piece), [1, 2, 4], "{piece}");
            // A line that ends within a record is one of its own.
            assert_eq!(of("\"a\nb\"\nc", &[0, 6], piece), [1, 3], "{piece}");
        }
    }
}
