//! Rows that are kept out: which they are ([`keep`]), their entries ([`entries`]), and what becomes of entries that the
//! quarantine has ([`change`]).

use deltalake::arrow::compute::CastOptions;
use deltalake::arrow::util::display::FormatOptions;

mod broken;
mod change;
mod entries;
mod keep;
mod told;

/// A value that does not fit is an error.
const EXACT: CastOptions<'static> = CastOptions { safe: false, format_options: FormatOptions::new() };

pub use self::broken::Fate;
pub use self::change::{Changes, Compared, EntryChange, changed, compared, superseded_entries};
pub use self::entries::{Entries, entries};
pub use self::keep::{KeptOut, count_kept, count_kept_ties, keep_out, keep_out_known};
