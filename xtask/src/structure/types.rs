//! Types: which fields other files can reach, over how many files a type's methods spread, and names that are declared twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Field, FnArg, ImplItem, Item, ItemImpl, ItemMod, ItemStruct, ReceiverKind, Type, Visibility};

use super::modules::{Modules, attributes, is_for_tests};

/// A type that a crate defines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TypeName {
    pub(super) file: PathBuf,
    pub(super) name: String,
}

/// A struct with fields that the rest of its crate can reach.
pub(super) struct OpenStruct {
    pub(super) name: TypeName,
    /// The fields with `pub(crate)`, `pub(super)` or `pub(in …)`.
    pub(super) open: Vec<String>,
    /// Whether it is plain data: other files see every field, and no method changes it.
    pub(super) is_plain: bool,
}

/// What is in the types of one crate.
#[derive(Default)]
pub(super) struct Types {
    pub(super) open_structs: Vec<OpenStruct>,
    /// The files with `impl` blocks of each type.
    pub(super) impl_files: BTreeMap<TypeName, BTreeSet<PathBuf>>,
    /// The public types.
    pub(super) public: Vec<TypeName>,
}

impl Types {
    pub(super) fn read(modules: &Modules) -> Self {
        let mut visitor = Visitor {
            modules,
            module: Vec::new(),
            file: Path::new(""),
            types: Self::default(),
            changed: BTreeSet::new(),
        };
        for (path, file, module) in modules.files() {
            visitor.module = module.to_vec();
            visitor.file = path;
            visitor.visit_file(file);
        }
        let Visitor { mut types, changed, .. } = visitor;
        for found in &mut types.open_structs {
            found.is_plain = found.is_plain && !changed.contains(&found.name);
        }
        types
    }
}

struct Visitor<'a> {
    modules: &'a Modules,
    module: Vec<String>,
    file: &'a Path,
    types: Types,
    /// The types with a method of their own that takes `&mut self`.
    changed: BTreeSet<TypeName>,
}

impl Visitor<'_> {
    /// The type of this crate that a block implements something for.
    fn implemented(&self, item: &ItemImpl) -> Option<TypeName> {
        let Type::Path(path) = &*item.self_ty else { return None };
        let names: Vec<String> = path.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let file = self.modules.definition(&self.module, &names)?;
        Some(TypeName { file: file.to_owned(), name: names.last()?.clone() })
    }

    fn add_public(&mut self, visibility: &Visibility, name: &syn::Ident) {
        if matches!(visibility, Visibility::Public(_)) {
            self.types.public.push(TypeName { file: self.file.to_owned(), name: name.to_string() });
        }
    }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_for_tests(attributes(item)) {
            return;
        }
        match item {
            Item::Enum(item) => self.add_public(&item.vis, &item.ident),
            Item::Struct(item) => self.add_public(&item.vis, &item.ident),
            Item::Trait(item) => self.add_public(&item.vis, &item.ident),
            Item::Type(item) => self.add_public(&item.vis, &item.ident),
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_struct(&mut self, item: &'ast ItemStruct) {
        let is_open = |field: &&Field| matches!(field.vis, Visibility::Restricted(_));
        let name =
            |(index, field): (usize, &Field)| field.ident.as_ref().map_or(index.to_string(), ToString::to_string);
        let open: Vec<String> = item.fields.iter().enumerate().filter(|(_, field)| is_open(field)).map(name).collect();
        if !open.is_empty() {
            let is_plain = item.fields.iter().all(|field| !matches!(field.vis, Visibility::Inherited));
            let name = TypeName { file: self.file.to_owned(), name: item.ident.to_string() };
            self.types.open_structs.push(OpenStruct { name, open, is_plain });
        }
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        if let Some(name) = self.implemented(item) {
            self.types.impl_files.entry(name.clone()).or_default().insert(self.file.to_owned());
            if item.trait_.is_none() && item.items.iter().any(takes_self_by_mut) {
                self.changed.insert(name);
            }
        }
    }
}

fn takes_self_by_mut(item: &ImplItem) -> bool {
    let ImplItem::Fn(method) = item else { return false };
    let Some(FnArg::Receiver(receiver)) = method.sig.inputs.first() else { return false };
    matches!(receiver.kind, ReceiverKind::Reference(_, _, Some(_)))
}
