//! The module tree of one crate, read with `syn`: which file defines what, and which name in a module means which file.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use syn::{Attribute, Ident, Item, UseTree};

/// A module's path below the crate's root.
pub(super) type ModulePath = Vec<String>;

/// A crate's modules, without those that only tests compile.
pub(super) struct Modules {
    /// Every file that belongs to the crate, with its contents.
    files: BTreeMap<PathBuf, syn::File>,
    modules: HashMap<ModulePath, Module>,
}

/// One module: a file, or a block within a file.
#[derive(Default)]
struct Module {
    file: PathBuf,
    /// The names of the items that it defines.
    items: Vec<String>,
    imports: Vec<Import>,
}

/// One name that a `use` brings into a module.
struct Import {
    name: String,
    path: Vec<String>,
}

/// How often one import may lead to another before the search gives up.
const DEPTH: usize = 16;

/// What a path means.
enum Meaning {
    Module(ModulePath),
    Item(PathBuf),
}

impl Modules {
    /// Reads a crate from the file of its root on.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut modules = Self { files: BTreeMap::new(), modules: HashMap::new() };
        let folder = root.parent().context("a file is in a folder")?;
        modules.read_file(root, folder, Vec::new())?;
        Ok(modules)
    }

    fn read_file(&mut self, path: &Path, children: &Path, module: ModulePath) -> Result<()> {
        let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let file = syn::parse_file(&text).with_context(|| format!("{} cannot be parsed", path.display()))?;
        self.add(path, children, module, &file.items)?;
        self.files.insert(path.to_owned(), file);
        Ok(())
    }

    fn add(&mut self, file: &Path, children: &Path, path: ModulePath, items: &[Item]) -> Result<()> {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        for item in items.iter().filter(|item| !is_for_tests(attributes(item))) {
            match item {
                Item::Mod(child) => {
                    let name = child.ident.to_string();
                    let inner = children.join(&name);
                    let child_path = [path.clone(), vec![name.clone()]].concat();
                    match &child.content {
                        Some((_, items)) => self.add(file, &inner, child_path, items)?,
                        None => self.read_file(&module_file(children, &name), &inner, child_path)?,
                    }
                }
                Item::Use(item) => imports(&item.tree, &mut Vec::new(), &mut module.imports),
                item => module.items.extend(name(item)),
            }
        }
        self.modules.insert(path, module);
        Ok(())
    }

    /// The file that defines what a path means in a module. `None` if it is not in this crate, or is a module itself.
    pub(super) fn definition(&self, module: &[String], path: &[String]) -> Option<&Path> {
        match self.meaning(module, path, DEPTH)? {
            Meaning::Item(module) => Some(self.files.get_key_value(&module)?.0),
            Meaning::Module(_) => None,
        }
    }

    /// What a path means in a module. `depth` limits how often one import may lead to another.
    fn meaning(&self, module: &[String], path: &[String], depth: usize) -> Option<Meaning> {
        let (first, rest) = path.split_first()?;
        let depth = depth.checked_sub(1)?;
        let start = match first.as_str() {
            "crate" => Meaning::Module(Vec::new()),
            "self" => Meaning::Module(module.to_vec()),
            "super" => Meaning::Module(module.split_last()?.1.to_vec()),
            name => self.name_in(module, name, depth)?,
        };
        match (start, rest) {
            (meaning, []) => Some(meaning),
            // What follows is a variant, an associated item or the like.
            (Meaning::Item(file), _) => Some(Meaning::Item(file)),
            (Meaning::Module(inner), [next, ..]) if next == "super" => self.meaning(&inner, rest, depth),
            (Meaning::Module(inner), [next, rest @ ..]) => match (self.name_in(&inner, next, depth)?, rest) {
                (meaning, []) => Some(meaning),
                (Meaning::Item(file), _) => Some(Meaning::Item(file)),
                (Meaning::Module(inner), rest) => self.meaning(&inner, &[&["self".to_owned()], rest].concat(), depth),
            },
        }
    }

    fn name_in(&self, path: &[String], name: &str, depth: usize) -> Option<Meaning> {
        let child = [path, &[name.to_owned()]].concat();
        if self.modules.contains_key(&child) {
            return Some(Meaning::Module(child));
        }
        let module = self.modules.get(path)?;
        if module.items.iter().any(|item| item == name) {
            return Some(Meaning::Item(module.file.clone()));
        }
        let named = module.imports.iter().filter(|import| import.name == name);
        let found =
            named.filter(|import| import.path != [name]).find_map(|import| self.meaning(path, &import.path, depth));
        found.or_else(|| {
            let mut globs = module.imports.iter().filter(|import| import.name == "*");
            globs.find_map(|glob| match self.meaning(path, &glob.path, depth)? {
                Meaning::Module(inner) => self.name_in(&inner, name, depth.checked_sub(1)?),
                Meaning::Item(_) => None,
            })
        })
    }

    /// Every file that belongs to the crate, with its contents and the path of the module that it defines.
    pub(super) fn files(&self) -> impl Iterator<Item = (&Path, &syn::File, &[String])> {
        self.files.iter().map(|(path, file)| {
            let modules = self.modules.iter().filter(|(_, module)| module.file == *path);
            let module = modules.map(|(module, _)| module.as_slice()).min_by_key(|module| module.len());
            (path.as_path(), file, module.unwrap_or_default())
        })
    }
}

fn module_file(folder: &Path, name: &str) -> PathBuf {
    let flat = folder.join(format!("{name}.rs"));
    if flat.is_file() { flat } else { folder.join(name).join("mod.rs") }
}

/// Adds each name that the tree brings in, with the path that it stands for.
fn imports(tree: &UseTree, prefix: &mut Vec<String>, found: &mut Vec<Import>) {
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            imports(&path.tree, prefix, found);
            prefix.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| imports(tree, prefix, found)),
        UseTree::Glob(_) => found.push(Import { name: "*".to_owned(), path: prefix.clone() }),
        UseTree::Name(name) => found.push(import(&name.ident, &name.ident, prefix)),
        UseTree::Rename(rename) => found.push(import(&rename.ident, &rename.rename, prefix)),
    }
}

fn import(what: &Ident, name: &Ident, prefix: &[String]) -> Import {
    let name = name.to_string();
    match what.to_string() {
        // `use module::{self}`.
        what if what == "self" => Import {
            name: if name == what { prefix.last().cloned().unwrap_or_default() } else { name },
            path: prefix.to_vec(),
        },
        what => Import { name, path: [prefix, &[what]].concat() },
    }
}

/// The name that an item defines.
fn name(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

/// The attributes of an item.
pub(super) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether only tests compile what has these attributes.
pub(super) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).any(|attribute| {
        let condition = attribute.parse_args::<syn::Path>();
        condition.is_ok_and(|condition| condition.is_ident("test"))
    })
}
