//! Circles of imports between the files of one crate.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Item, ItemMod, ItemUse, UseTree, Visibility};

use super::modules::{Modules, attributes, is_for_tests};

/// Which files each file needs.
pub(super) type Graph = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

/// Every group of files that need each other in a circle.
pub(super) fn circles(modules: &Modules) -> Vec<BTreeSet<PathBuf>> {
    components(&imports(modules))
}

/// Which files each file of the crate names something of. Re-exports count only if the file uses the name itself.
pub(super) fn imports(modules: &Modules) -> Graph {
    let mut graph = Graph::new();
    for (path, file, module) in modules.files() {
        let mut visitor = Paths { modules, module: module.to_vec(), file: path, needed: BTreeSet::new() };
        visitor.visit_file(file);
        graph.insert(path.to_owned(), visitor.needed);
    }
    graph
}

/// Collects the files of what the paths in one file mean.
struct Paths<'a> {
    modules: &'a Modules,
    module: Vec<String>,
    file: &'a Path,
    needed: BTreeSet<PathBuf>,
}

impl Paths<'_> {
    fn add(&mut self, path: &[String]) {
        if let Some(file) = self.modules.definition(&self.module, path).filter(|file| *file != self.file) {
            self.needed.insert(file.to_owned());
        }
    }

    fn add_tree(&mut self, tree: &UseTree, prefix: &mut Vec<String>) {
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.add_tree(&path.tree, prefix);
                prefix.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_tree(tree, prefix)),
            UseTree::Name(name) => self.add(&[prefix.as_slice(), &[name.ident.to_string()]].concat()),
            UseTree::Rename(rename) => self.add(&[prefix.as_slice(), &[rename.ident.to_string()]].concat()),
            // What is used of it is found where it is used.
            UseTree::Glob(_) => {}
        }
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if matches!(item.vis, Visibility::Inherited) {
            self.add_tree(&item.tree, &mut Vec::new());
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let path_names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if path.leading_colon.is_none() {
            self.add(&path_names);
        }
        visit::visit_path(self, path);
    }
}

/// The strongly connected components with more than one file.
fn components(graph: &Graph) -> Vec<BTreeSet<PathBuf>> {
    let reachable: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> =
        graph.keys().map(|file| (file, reachable(graph, file))).collect();
    let mut found: Vec<BTreeSet<PathBuf>> = Vec::new();
    for (file, others) in &reachable {
        let circle = others.iter().filter(|other| reachable[**other].contains(*file));
        let circle: BTreeSet<PathBuf> = circle.map(|other| (*other).clone()).collect();
        if circle.len() > 1 && !found.contains(&circle) {
            found.push(circle);
        }
    }
    found
}

fn reachable<'a>(graph: &'a Graph, file: &PathBuf) -> BTreeSet<&'a PathBuf> {
    let mut found = BTreeSet::new();
    let mut next: Vec<&PathBuf> = graph[file].iter().collect();
    while let Some(file) = next.pop() {
        if found.insert(file) {
            next.extend(&graph[file]);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A crate with these files; returns its circles as file names.
    fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let modules = Modules::read(&folder.path().join("lib.rs")).unwrap();
        let shown = |file: &PathBuf| file.strip_prefix(folder.path()).unwrap().display().to_string();
        circles(&modules).iter().map(|circle| circle.iter().map(shown).collect()).collect()
    }

    #[test]
    fn a_circle_is_found_through_modules_and_re_exports() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a/mod.rs", "mod inner; pub(crate) use self::inner::Inner;"),
            ("a/inner.rs", "use crate::b; pub(crate) struct Inner(b::Outer);"),
            ("b.rs", "use crate::a::Inner; pub(crate) struct Outer; fn take(_: &Inner) {}"),
        ];
        assert_eq!(circles_of(&files), [["a/inner.rs", "b.rs"]]);
    }

    #[test]
    fn a_parent_that_uses_its_child_and_is_used_by_it_is_a_circle() {
        let child = ("child.rs", "use super::Shared; pub(crate) struct Child(Shared);");
        let parent = |more: &'static str| ("lib.rs", more);
        assert_eq!(circles_of(&[parent("mod child; struct Shared; pub use child::Child;"), child]), [[""; 0]; 0]);
        let uses = "mod child; struct Shared; pub use child::Child; fn make(_: Child) {}";
        assert_eq!(circles_of(&[parent(uses), child]), [["child.rs", "lib.rs"]]);
    }

    #[test]
    fn tests_and_other_crates_do_not_count() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use std::fmt::Debug; use crate::b::B; pub(crate) struct A(B);"),
            ("b.rs", "pub(crate) struct B; #[cfg(test)] mod tests { use crate::a::A; fn test(_: A) {} }"),
        ];
        assert_eq!(circles_of(&files), [[""; 0]; 0]);
    }
}
