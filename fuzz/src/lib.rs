//! What the fuzz targets share. How to run them is in `cargo xtask help`; what each of them reads from its input and
//! what it holds stands at the top of its file in `targets/`.
//!
//! Inputs are laid out by hand rather than derived from types: a byte keeps its meaning when a type changes, and so do
//! the corpora in the tree.

/// How a stream is cut: a count (0 to 7) and as many sizes stand before it in the input.
///
/// `None` when the input ends before the stream begins.
pub fn cuts(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&count, rest) = input.split_first()?;
    rest.split_at_checked(usize::from(count % 8))
}

/// The stream in chunks of these sizes, used in turn: one more byte than each says. Whole if there is no size.
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
