//! Functions that the fuzz targets share. `cargo xtask help` explains how to run the targets. The first lines of each
//! file in `targets/` describe the layout of its input and what it checks.
//!
//! The layout of an input is written by hand, not derived from types. So a byte keeps its meaning when a type changes,
//! and the stored corpora stay valid.

/// Splits an input into the sizes of chunks and a stream. The input begins with a count (0 to 7) and that many sizes.
///
/// Returns `None` if the input ends before the stream begins.
pub fn cuts(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&count, rest) = input.split_first()?;
    rest.split_at_checked(usize::from(count % 8))
}

/// Cuts the stream into chunks. The sizes are used in turn, and each chunk is one byte longer than its size says.
/// Without sizes, there is one chunk.
pub fn chunks<'a>(stream: &'a [u8], sizes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut sizes = sizes.iter().cycle();
    let mut rest = stream;
    std::iter::from_fn(move || {
        let size = sizes.next().map_or(rest.len(), |size| usize::from(*size) + 1);
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        rest = after;
        (!chunk.is_empty()).then_some(chunk)
    })
}
