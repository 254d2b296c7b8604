//! `#[pirn::main]` and `#[pirn::test]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, Expr, ItemFn, Result};

use crate::misuse;
use crate::options::{Options, is_zero};

/// See [`crate::main`].
pub(crate) fn main(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let attribute = "pirn::main";
    let workers = workers(attribute, options)?;
    let function = misuse::function(attribute, item)?;
    misuse::no_arguments(attribute, &function)?;
    if function.sig.ident != "main" {
        return Err(Error::new(
            function.sig.ident.span(),
            "#[pirn::main] goes on `async fn main`; for a test write #[pirn::test]",
        ));
    }
    Ok(blocking(&function, workers, quote!()))
}

/// See [`crate::test`].
pub(crate) fn test(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let attribute = "pirn::test";
    let workers = workers(attribute, options)?;
    let function = misuse::function(attribute, item)?;
    misuse::no_arguments(attribute, &function)?;
    let workers = workers.or_else(|| syn::parse_str("1").ok());
    Ok(blocking(&function, workers, quote!(#[::core::prelude::v1::test])))
}

fn workers(attribute: &'static str, options: TokenStream) -> Result<Option<Expr>> {
    let workers = Options::read(attribute, &["workers"], options)?.take("workers");
    match workers {
        Some(value) if is_zero(&value) => Err(Error::new_spanned(
            value,
            "a runtime has at least one worker: `workers` must be at least 1 (leave it out for one a CPU)",
        )),
        other => Ok(other),
    }
}

/// The plain function around the async one.
fn blocking(function: &ItemFn, workers: Option<Expr>, marker: TokenStream) -> TokenStream {
    let ItemFn { attrs, vis, sig, block } = function;
    let (name, output) = (&sig.ident, &sig.output);
    let workers = workers.map(|n| quote_spanned!(n.span()=> .workers(#n)));
    quote! {
        #(#attrs)*
        #marker
        #vis fn #name() #output {
            async fn #name() #output #block
            match ::pirn::Builder::new() #workers .build() {
                ::core::result::Result::Ok(runtime) => runtime.block_on(#name()),
                ::core::result::Result::Err(error) => ::core::panic!("the runtime can't be built: {error}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(expanded: Result<TokenStream>) -> String {
        expanded.expect_err("the misuse was accepted").to_string()
    }

    #[test]
    fn main_expands_to_a_plain_main_over_block_on() {
        let text = main(
            quote!(workers = 3),
            quote!(
                async fn main() -> std::io::Result<()> {
                    Ok(())
                }
            ),
        )
        .expect("a good main is refused")
        .to_string();
        let file: syn::File = syn::parse_str(&text).expect("the expansion is no Rust");
        let syn::Item::Fn(function) = &file.items[0] else { panic!("no function: {text}") };
        assert!(function.sig.asyncness.is_none());
        assert!(text.contains("workers (3)") && text.contains("block_on (main ())"), "{text}");
    }

    #[test]
    fn misuse_is_refused_with_the_remedy() {
        let text = refused(main(
            quote!(),
            quote!(
                fn main() {}
            ),
        ));
        assert!(text.contains("write `async fn main`"), "{text}");
        let text = refused(main(
            quote!(),
            quote!(
                async fn main(args: Vec<String>) {}
            ),
        ));
        assert!(text.contains("without arguments"), "{text}");
        let text = refused(main(
            quote!(),
            quote!(
                async fn other() {}
            ),
        ));
        assert!(text.contains("#[pirn::test]"), "{text}");
        let text = refused(main(
            quote!(workers = 0),
            quote!(
                async fn main() {}
            ),
        ));
        assert!(text.contains("at least 1"), "{text}");
        let text = refused(test(
            quote!(threads = 2),
            quote!(
                async fn t() {}
            ),
        ));
        assert!(text.contains("it knows workers"), "{text}");
        let text = refused(test(
            quote!(workers = 2, workers = 3),
            quote!(
                async fn t() {}
            ),
        ));
        assert!(text.contains("given twice"), "{text}");
        let text = refused(test(
            quote!(2),
            quote!(
                async fn t() {}
            ),
        ));
        assert!(text.contains("name = value"), "{text}");
        let text = refused(test(
            quote!(),
            quote!(
                async fn t<T>() {}
            ),
        ));
        assert!(text.contains("generic"), "{text}");
        let text = refused(test(
            quote!(),
            quote!(
                struct S;
            ),
        ));
        assert!(text.contains("goes on an async fn"), "{text}");
    }
}
