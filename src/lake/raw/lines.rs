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
}

/// Tells on which line what was read stands: a CSV reader counts lines from where the record before ended, which in a file
/// with carriage returns is not where the next one begins.
#[derive(Clone, Default)]
pub(super) struct Lines(Rc<RefCell<Ends>>);

/// Passes bytes through, and notes where lines end.
pub(super) struct Noting<R>(R, Lines);

impl Lines {
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
