//! What the attributes refuse, with a sentence that says what to write instead.

use syn::spanned::Spanned;
use syn::{Error, FnArg, ItemFn, Result, Type};

/// The function under an attribute, or why it can't be one. `attribute` is as the user wrote it, `pirn::main`.
pub(crate) fn function(attribute: &str, item: proc_macro2::TokenStream) -> Result<ItemFn> {
    let function: ItemFn = syn::parse2(item).map_err(|error| {
        Error::new(
            error.span(),
            format!("#[{attribute}] goes on an async fn; this is something else ({error})"),
        )
    })?;
    let name = &function.sig.ident;
    if function.sig.asyncness.is_none() {
        return Err(Error::new(
            function.sig.fn_token.span(),
            format!("#[{attribute}] goes on an async fn: write `async fn {name}`"),
        ));
    }
    if !function.sig.generics.params.is_empty() {
        return Err(Error::new(
            function.sig.generics.span(),
            format!("#[{attribute}] can't call a generic function: remove the parameters of `{name}`"),
        ));
    }
    Ok(function)
}

/// Refuses arguments.
pub(crate) fn no_arguments(attribute: &str, function: &ItemFn) -> Result<()> {
    match function.sig.inputs.first() {
        None => Ok(()),
        Some(argument) => Err(Error::new(
            argument.span(),
            format!(
                "#[{attribute}] calls `{}` without arguments: remove this one (read std::env::args or a constant inside)",
                function.sig.ident
            ),
        )),
    }
}

/// The type of the host argument of a simulated test, if it takes one.
pub(crate) fn host_argument(function: &ItemFn, hosts: u64) -> Result<Option<Type>> {
    let inputs = &function.sig.inputs;
    if let Some(second) = inputs.iter().nth(1) {
        return Err(Error::new(
            second.span(),
            "a simulated test takes at most one argument, the number of its host: `host: usize`",
        ));
    }
    match inputs.first() {
        None if hosts > 1 => Err(Error::new(
            function.sig.ident.span(),
            format!(
                "with hosts = {hosts} the function runs once on each host: take the host's number, `async fn {}(host: usize)`",
                function.sig.ident
            ),
        )),
        None => Ok(None),
        Some(FnArg::Typed(argument)) => Ok(Some((*argument.ty).clone())),
        Some(FnArg::Receiver(receiver)) => {
            Err(Error::new(receiver.span(), "a simulated test is a free function: it can't take `self`"))
        }
    }
}
