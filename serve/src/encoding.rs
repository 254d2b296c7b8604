//! Files that were compressed beforehand: `page.html.br` beside `page.html`.

use hyper::HeaderMap;
use hyper::header::ACCEPT_ENCODING;

/// A coding, and how its files end. The first one that a client accepts and that is there is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Coding {
    pub(crate) name: &'static str,
    pub(crate) ending: &'static str,
}

const CODINGS: [Coding; 3] = [
    Coding { name: "br", ending: ".br" },
    Coding { name: "zstd", ending: ".zst" },
    Coding { name: "gzip", ending: ".gz" },
];

/// The codings that a client accepts, the best first.
pub(crate) fn accepted(headers: &HeaderMap) -> impl Iterator<Item = Coding> {
    let weights = CODINGS.map(|coding| weight(headers, coding.name));
    CODINGS.into_iter().zip(weights).filter(|&(_, accepts)| accepts).map(|(coding, _)| coding)
}

/// Whether a coding is accepted: named, or meant by a star, and not with a weight of nothing.
fn weight(headers: &HeaderMap, name: &str) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut star = false;
    for part in values.flat_map(|value| value.split(',')) {
        let mut parameters = part.split(';').map(str::trim);
        let coding = parameters.next().unwrap_or("");
        let weight = parameters
            .find_map(|parameter| parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q=")))
            .map_or(Some(1.0), |weight| weight.trim().parse::<f32>().ok());
        let accepts = weight.is_some_and(|weight| weight > 0.0);
        if coding.eq_ignore_ascii_case(name) || (name == "gzip" && coding.eq_ignore_ascii_case("x-gzip")) {
            return accepts;
        }
        star |= coding == "*" && accepts;
    }
    star
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(value: &'static str) -> Vec<&'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, value.parse().expect("a value"));
        accepted(&headers).map(|coding| coding.name).collect()
    }

    #[test]
    fn clients_say_what_they_accept() {
        assert_eq!(names("gzip, deflate, br, zstd"), ["br", "zstd", "gzip"]);
        assert_eq!(names("gzip;q=0, BR;q=0.5"), ["br"]);
        assert_eq!(names("*"), ["br", "zstd", "gzip"]);
        assert_eq!(names("*;q=0.1, br; q=0"), ["zstd", "gzip"]);
        assert_eq!(names("identity"), [] as [&str; 0]);
        assert_eq!(names("gzip;q=nonsense"), [] as [&str; 0]);
        assert_eq!(names(",,;;=,"), [] as [&str; 0]);
        assert_eq!(accepted(&HeaderMap::new()).count(), 0);
    }
}
