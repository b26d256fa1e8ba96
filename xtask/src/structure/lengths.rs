//! The lengths of files and functions, in lines.

use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Block, ImplItemFn, ItemFn, Signature, TraitItemFn};

/// A function, and how many lines it has from its signature to its end.
#[derive(Debug, PartialEq)]
pub(super) struct Function {
    pub(super) file: PathBuf,
    pub(super) name: String,
    pub(super) lines: usize,
}

/// The functions of a file, tests included.
pub(super) fn functions(path: &Path, file: &syn::File) -> Vec<Function> {
    let mut visitor = Visitor { path, found: Vec::new() };
    visitor.visit_file(file);
    visitor.found
}

struct Visitor<'a> {
    path: &'a Path,
    found: Vec<Function>,
}

impl Visitor<'_> {
    fn add(&mut self, signature: &Signature, block: &Block) {
        let (start, end) = (signature.fn_token.span.start().line, block.brace_token.span.close().end().line);
        let name = signature.ident.to_string();
        self.found.push(Function { file: self.path.to_owned(), name, lines: end + 1 - start });
    }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.add(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.add(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(block) = &item.default {
            self.add(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_measured_from_its_signature_to_its_brace() {
        let text = "/// Documentation.\nfn one() {}\nimpl X {\n    fn two(\n        &self,\n    ) {\n        one();\n    }\n}\n";
        let found = functions(Path::new("x.rs"), &syn::parse_file(text).unwrap());
        let lines: Vec<(&str, usize)> = found.iter().map(|function| (function.name.as_str(), function.lines)).collect();
        assert_eq!(lines, [("one", 1), ("two", 5)]);
    }
}
