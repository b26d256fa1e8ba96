//! Tables and properties of the books. To come.
