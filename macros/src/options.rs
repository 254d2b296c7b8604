//! The `name = value` lists of the attributes.

use proc_macro2::TokenStream;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Error, Expr, ExprLit, Lit, MetaNameValue, Result, Token};

/// Options by name; each is taken once, and what is left over is an error.
pub(crate) struct Options {
    attribute: &'static str,
    known: &'static [&'static str],
    given: Vec<(String, MetaNameValue)>,
}

impl Options {
    /// Reads the list of `attribute`, which knows the options `known`.
    pub(crate) fn read(
        attribute: &'static str,
        known: &'static [&'static str],
        tokens: TokenStream,
    ) -> Result<Self> {
        let list =
            Punctuated::<MetaNameValue, Token![,]>::parse_terminated.parse2(tokens).map_err(|error| {
                Error::new(
                    error.span(),
                    format!("#[{attribute}] takes a list of `name = value` ({}): {error}", known.join(", ")),
                )
            })?;
        let mut options = Self { attribute, known, given: Vec::new() };
        for option in list {
            options.add(option)?;
        }
        Ok(options)
    }

    fn add(&mut self, option: MetaNameValue) -> Result<()> {
        let name = option.path.get_ident().map(ToString::to_string).unwrap_or_default();
        if !self.known.contains(&name.as_str()) {
            return Err(Error::new_spanned(
                &option.path,
                format!("#[{}] knows no such option; it knows {}", self.attribute, self.known.join(", ")),
            ));
        }
        if self.given.iter().any(|(other, _)| *other == name) {
            return Err(Error::new_spanned(&option.path, format!("`{name}` is given twice")));
        }
        self.given.push((name, option));
        Ok(())
    }

    /// The value of `name`.
    pub(crate) fn take(&mut self, name: &str) -> Option<Expr> {
        debug_assert!(self.known.contains(&name), "{name} is not announced as an option");
        let at = self.given.iter().position(|(other, _)| other == name)?;
        Some(self.given.swap_remove(at).1.value)
    }

    /// The value of `name`, an integer literal of at least 1.
    pub(crate) fn take_positive(&mut self, name: &str) -> Result<Option<u64>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match &value {
            Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => match number.base10_parse()? {
                0 => Err(Error::new_spanned(value, format!("`{name}` must be at least 1"))),
                number => Ok(Some(number)),
            },
            _ => Err(Error::new_spanned(value, format!("`{name}` takes a number, as in `{name} = 2`"))),
        }
    }

    /// The value of `name`, a string literal.
    pub(crate) fn take_string(&mut self, name: &str) -> Result<Option<syn::LitStr>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value {
            Expr::Lit(ExprLit { lit: Lit::Str(string), .. }) => Ok(Some(string)),
            other => {
                Err(Error::new_spanned(other, format!("`{name}` takes a string, as in `{name} = \"...\"`")))
            }
        }
    }
}

/// Whether an expression is the literal 0.
pub(crate) fn is_zero(value: &Expr) -> bool {
    matches!(value, Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) if matches!(number.base10_parse::<u64>(), Ok(0)))
}
