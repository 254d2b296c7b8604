//! From the path of a request to names in a folder.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};

/// What is written with percent signs in a link: all but what RFC 3986 leaves to a segment, and quotes for the HTML around it.
const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'\'')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'/')
    .add(b':')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Names from the folder to what was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    names: Vec<OsString>,
    /// A slash stood at the end: it has to be a folder.
    pub(crate) slash: bool,
}

/// Why a path is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No browser asks so: a name `.` or `..`, a slash or a zero byte inside of a name, no path at all.
    Bad,
    /// There is no such name, or it is none of the asker's business.
    Absent,
}

impl Asked {
    /// Reads a path. Several slashes in a row count as one.
    ///
    /// Names are bytes: it is up to the folder whether one that is no UTF-8 is there.
    pub(crate) fn parse(path: &str, hidden: bool) -> Result<Self, Refused> {
        let Some(path) = path.strip_prefix('/') else { return Err(Refused::Bad) };
        let mut names = Vec::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let name: Vec<u8> = percent_decode_str(part).collect();
            if name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0) {
                return Err(Refused::Bad);
            }
            if name.len() > 255 || (name[0] == b'.' && !hidden && name != b".well-known") {
                return Err(Refused::Absent);
            }
            names.push(OsString::from_vec(name));
        }
        Ok(Self { names, slash: path.is_empty() || path.ends_with('/') })
    }

    /// As a path below the folder; `.` is the folder itself.
    pub(crate) fn path(&self) -> PathBuf {
        if self.names.is_empty() { PathBuf::from(".") } else { self.names.iter().collect() }
    }

    /// Where a browser is sent that asked for a folder without the slash at the end.
    pub(crate) fn with_slash(&self) -> String {
        let mut text = String::from("/");
        for name in &self.names {
            let _ = write!(text, "{}/", encoded(name));
        }
        text
    }

    /// For a person to read.
    pub(crate) fn title(&self) -> String {
        let names = self.names.iter().map(|name| name.to_string_lossy());
        names.fold(String::from("/"), |text, name| text + &name + "/")
    }

    /// Whether it is the folder at the top.
    pub(crate) fn is_top(&self) -> bool {
        self.names.is_empty()
    }
}

/// A name as a segment of a link.
pub(crate) fn encoded(name: &OsStr) -> String {
    percent_encode(name.as_bytes(), SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(of: &str) -> Result<String, Refused> {
        Asked::parse(of, false).map(|asked| asked.path().to_string_lossy().into_owned())
    }

    #[test]
    fn names_are_decoded_once() {
        assert_eq!(path("/a/b%20c").as_deref(), Ok("a/b c"));
        assert_eq!(path("//a///b/").as_deref(), Ok("a/b"));
        assert_eq!(path("/").as_deref(), Ok("."));
        assert_eq!(path("/%252e%252e/x").as_deref(), Ok("%2e%2e/x"));
        assert_eq!(path("/100%").as_deref(), Ok("100%"));
        assert_eq!(path("/a..b/x...").as_deref(), Ok("a..b/x..."), "dots inside of names are names");
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for bad in ["/..", "/a/../b", "/%2e%2e", "/.%2E/x", "/a/.", "/%2e", "/a%2fb", "/a%00b", "", "*", "a"]
        {
            assert_eq!(path(bad), Err(Refused::Bad), "{bad}");
        }
    }

    #[test]
    fn hidden_names_are_absent() {
        assert_eq!(path("/.git/config"), Err(Refused::Absent));
        assert_eq!(path("/%2egit"), Err(Refused::Absent));
        assert_eq!(path("/.well-known/x").as_deref(), Ok(".well-known/x"));
        assert!(Asked::parse("/.git/config", true).is_ok());
        assert_eq!(path(&format!("/{}", "x".repeat(256))), Err(Refused::Absent));
    }

    #[test]
    fn a_redirect_stays_here() {
        let there = |of| Asked::parse(of, false).expect("a path").with_slash();
        assert_eq!(there("//elsewhere.example/%0d%0ax"), "/elsewhere.example/%0D%0Ax/");
        assert_eq!(there("/a%20b/\u{e9}"), "/a%20b/%C3%A9/");
    }
}
