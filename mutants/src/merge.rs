//! One binary for many mutants: where patches change no more than the bodies of functions, each such body is written once for each
//! of them, and the environment says which one runs. So all of them cost one build.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use proc_macro2::{LineColumn, Span};
use syn::spanned::Spanned;
use syn::{Block, ImplItem, Item, ReturnType, Signature, TraitItem};

use crate::patch::Mutant;

/// The number of the mutant that is to run.
pub(crate) const SWITCH: &str = "PIRN_MUTANT";

/// What the copy gets besides: who runs.
const WHICH: &str = r#"
mod mutant {
    use std::sync::atomic::{AtomicU32, Ordering};

    static WHICH: AtomicU32 = AtomicU32::new(u32::MAX);

    #[inline]
    pub(crate) fn which() -> u32 {
        match WHICH.load(Ordering::Relaxed) {
            u32::MAX => read(),
            which => which,
        }
    }

    #[cold]
    fn read() -> u32 {
        let which = std::env::var("PIRN_MUTANT").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        WHICH.store(which, Ordering::Relaxed);
        which
    }
}
"#;

/// The roots of the crates that compile the core's files.
const CRATES: [&str; 3] = ["src/lib.rs", "model/src/lib.rs", "model/tests/twins/main.rs"];

/// A function: where its body is, and whether a `match` may stand in it.
struct Function {
    name: String,
    body: Range<usize>,
    switches: bool,
}

/// Changed bodies of one file: for each function, by its place, the mutants that change it.
type Changes = BTreeMap<usize, Vec<(usize, String)>>;

/// Mutants in one tree.
#[derive(Default)]
pub(crate) struct Merged {
    files: BTreeMap<PathBuf, (String, Changes)>,
    count: usize,
}

impl Merged {
    /// Adds a mutant; its number, or nothing if it changes more than bodies of functions.
    pub(crate) fn add(&mut self, mutant: &Mutant, root: &Path) -> Result<Option<usize>, String> {
        let mut all = Vec::new();
        for (path, new) in mutant.apply(root)? {
            let old = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            match changed(&old, &new) {
                // Code of other crates has no `which`.
                Some(changes) if path.starts_with(root.join("src")) => all.push((path, old, changes)),
                _ => return Ok(None),
            }
        }
        self.count += 1;
        for (path, old, changes) in all {
            let (_, known) = self.files.entry(path).or_insert_with(|| (old, Changes::new()));
            for (at, body) in changes {
                known.entry(at).or_default().push((self.count, body));
            }
        }
        Ok(Some(self.count))
    }

    /// Writes them into the copy.
    pub(crate) fn write(&self, root: &Path) -> Result<(), String> {
        let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
        for (path, (old, changes)) in &self.files {
            let functions = functions(old).ok_or_else(|| format!("{} can't be parsed", path.display()))?;
            let mut text = old.clone();
            for (at, bodies) in changes.iter().rev() {
                let body = functions[*at].body.clone();
                let arms: String =
                    bodies.iter().map(|(number, body)| format!("{number} => {body}\n")).collect();
                let switch =
                    format!("{{ match crate::mutant::which() {{\n{arms}_ => {}\n}} }}", &old[body.clone()]);
                text.replace_range(body, &switch);
            }
            fs::write(path, text).map_err(|error| failed(path, error))?;
        }
        // The models, and the twins, have the same files in crates of their own.
        for crate_root in CRATES.map(|path| root.join(path)) {
            let text = fs::read_to_string(&crate_root).map_err(|error| failed(&crate_root, error))?;
            fs::write(&crate_root, text + WHICH).map_err(|error| failed(&crate_root, error))?;
        }
        Ok(())
    }
}

/// The functions of `old` that have another body in `new`. `None`: more than that differs.
fn changed(old: &str, new: &str) -> Option<Vec<(usize, String)>> {
    let (olds, news) = (functions(old)?, functions(new)?);
    let names = |functions: &[Function]| functions.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
    if names(&olds) != names(&news) || skeleton(old, &olds) != skeleton(new, &news) {
        return None;
    }
    let mut changes = Vec::new();
    for (at, (one, other)) in olds.iter().zip(&news).enumerate() {
        let (before, after) = (&old[one.body.clone()], &new[other.body.clone()]);
        if before != after {
            if !one.switches {
                return None;
            }
            changes.push((at, after.to_owned()));
        }
    }
    Some(changes)
}

/// The text without the bodies.
fn skeleton(text: &str, functions: &[Function]) -> String {
    let mut text = text.to_owned();
    functions.iter().rev().for_each(|function| text.replace_range(function.body.clone(), "{}"));
    text
}

/// The functions of a file that stand in no other one, in order.
fn functions(text: &str) -> Option<Vec<Function>> {
    let file = syn::parse_file(text).ok()?;
    let starts: Vec<usize> =
        std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let mut found = Vec::new();
    walk(text, &starts, &file.items, &mut found);
    Some(found)
}

fn walk(text: &str, starts: &[usize], items: &[Item], found: &mut Vec<Function>) {
    let mut add = |signature: &Signature, block: &Block| {
        let returns_impl = matches!(&signature.output, ReturnType::Type(_, kind) if matches!(**kind, syn::Type::ImplTrait(_)));
        found.push(Function {
            name: signature.ident.to_string(),
            body: range(text, starts, block.span()),
            switches: signature.constness.is_none() && !returns_impl,
        });
    };
    for item in items {
        match item {
            Item::Fn(one) => add(&one.sig, &one.block),
            Item::Impl(one) => {
                for item in &one.items {
                    if let ImplItem::Fn(one) = item {
                        add(&one.sig, &one.block);
                    }
                }
            }
            Item::Trait(one) => {
                for item in &one.items {
                    if let TraitItem::Fn(one) = item
                        && let Some(block) = &one.default
                    {
                        add(&one.sig, block);
                    }
                }
            }
            _ => {}
        }
    }
}

fn range(text: &str, starts: &[usize], span: Span) -> Range<usize> {
    // Columns count characters.
    let at = |place: LineColumn| {
        let line = starts[place.line - 1];
        let column = text[line..].char_indices().nth(place.column).map_or(text.len() - line, |(at, _)| at);
        line + column
    };
    at(span.start())..at(span.end())
}

#[cfg(test)]
mod tests {
    use super::{changed, functions};

    const OLD: &str = "const A: u8 = 1;\nimpl B {\n    /// ä\n    fn one(&self) -> u8 { if true { 1 } else { 2 } }\n\n    const fn two() -> u8 { 2 }\n}\n";

    #[test]
    fn a_changed_body_can_be_switched() {
        let new = OLD.replace("{ 1 }", "{ 3 }");
        assert_eq!(changed(OLD, &new), Some(vec![(0, "{ if true { 3 } else { 2 } }".to_owned())]));
        assert_eq!(functions(OLD).map(|all| all.len()), Some(2));
    }

    #[test]
    fn what_is_no_body_or_constant_cannot() {
        assert_eq!(changed(OLD, &OLD.replace("= 1;", "= 2;")), None);
        assert_eq!(changed(OLD, &OLD.replace("{ 2 }\n}", "{ 3 }\n}")), None);
        assert_eq!(changed(OLD, &OLD.replace("fn one", "fn other")), None);
    }
}
