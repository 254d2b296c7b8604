//! From a request to an answer.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use pirn::fs::{File, Metadata, OpenOptions};

use crate::body::{Body, BodyError};
use crate::conditions::{Answer, Version, answer};
use crate::encoding::{Coding, accepted};
use crate::listing;
use crate::path::{Asked, Refused};

/// Bytes of a request's body that are not refused. GET and HEAD have no use for one.
const BODY: u64 = 64 << 10;

/// A folder over HTTP.
pub struct Files {
    root: File,
    listing: bool,
    hidden: bool,
}

/// What was found under a name.
struct Found {
    file: File,
    facts: Metadata,
}

impl Files {
    /// Opens the folder. Files that come into it later are served, too; the folder itself may be renamed or replaced, which changes
    /// nothing for this one.
    ///
    /// # Errors
    /// `NotADirectory`, and the system's: not there, no right to read it.
    pub async fn open(root: impl AsRef<Path>) -> io::Result<Self> {
        let at = root.as_ref();
        let root = File::open(at).await?;
        if !root.metadata().await?.is_dir() {
            let message = format!("{} is no folder: name one whose files are to be served", at.display());
            return Err(io::Error::new(io::ErrorKind::NotADirectory, message));
        }
        Ok(Self { root, listing: true, hidden: false })
    }

    /// Whether a folder without `index.html` is listed. Default: yes. Else it is not found.
    #[must_use]
    pub fn listing(mut self, on: bool) -> Self {
        self.listing = on;
        self
    }

    /// Whether names that begin with a dot are served. Default: no, except `.well-known`.
    #[must_use]
    pub fn hidden(mut self, on: bool) -> Self {
        self.hidden = on;
        self
    }

    /// Answers a request, whose body is left alone. Whatever goes wrong is a status.
    pub async fn respond<B>(&self, request: &Request<B>) -> Response<Body> {
        let head = match *request.method() {
            Method::GET => false,
            Method::HEAD => true,
            _ => {
                let mut response = status(StatusCode::METHOD_NOT_ALLOWED);
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
                return response;
            }
        };
        let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        if length.and_then(|length| length.parse().ok()).is_some_and(|length: u64| length > BODY) {
            let mut response = status(StatusCode::PAYLOAD_TOO_LARGE);
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            return response;
        }
        let mut response = match Asked::parse(request.uri().path(), self.hidden) {
            Ok(asked) => {
                self.find(&asked, request.headers(), head).await.unwrap_or_else(|error| refuse(&error))
            }
            Err(Refused::Bad) => status(StatusCode::BAD_REQUEST),
            Err(Refused::Absent) => status(StatusCode::NOT_FOUND),
        };
        if head {
            let length = hyper::body::Body::size_hint(response.body()).lower();
            if response.status() != StatusCode::NOT_MODIFIED {
                response.headers_mut().entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
            }
            *response.body_mut() = Body::empty();
        }
        response
    }

    async fn find(&self, asked: &Asked, headers: &HeaderMap, head: bool) -> io::Result<Response<Body>> {
        let mut path = asked.path();
        let mut found = self.get(&path).await?;
        if found.facts.is_dir() {
            if !asked.slash {
                let mut response = status(StatusCode::MOVED_PERMANENTLY);
                let place = HeaderValue::try_from(asked.with_slash()).map_err(io::Error::other)?;
                response.headers_mut().insert(header::LOCATION, place);
                return Ok(response);
            }
            path.push("index.html");
            found = match self.get(&path).await {
                Ok(index) if index.facts.is_file() => index,
                Ok(_) => return self.list(&found.file, asked).await,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return self.list(&found.file, asked).await;
                }
                Err(error) => return Err(error),
            };
        } else if asked.slash {
            return Ok(status(StatusCode::NOT_FOUND));
        }
        match self.send(&path, found, headers, head).await {
            Err(error) if error.get_ref().is_some_and(|error| error.is::<BodyError>()) => {
                // It became shorter between the look at it and its read: once more, as it is now.
                let found = self.get(&path).await?;
                if !found.facts.is_file() {
                    return Err(io::ErrorKind::NotFound.into());
                }
                self.send(&path, found, headers, head).await
            }
            answer => answer,
        }
    }

    /// What is under a name, if it is a file or folder. A pipe or device is opened (without waiting for anybody), but nothing is read.
    async fn get(&self, path: &Path) -> io::Result<Found> {
        // O_NONBLOCK: a pipe that nobody writes to must not keep anyone waiting; O_NOCTTY: nor may a terminal become ours.
        const FLAGS: i32 = 0o4000 | 0o400;
        let file = OpenOptions::new().read(true).custom_flags(FLAGS).open_beneath(&self.root, path).await?;
        let facts = file.metadata().await?;
        if !facts.is_file() && !facts.is_dir() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Found { file, facts })
    }

    /// A compressed twin that is not older than the file.
    async fn twin(&self, path: &Path, of: &Found, headers: &HeaderMap) -> Option<(Coding, Found)> {
        for coding in accepted(headers) {
            let mut name = path.as_os_str().to_owned();
            name.push(coding.ending);
            if let Ok(twin) = self.get(&PathBuf::from(name)).await
                && twin.facts.is_file()
                && twin.facts.modified() >= of.facts.modified()
            {
                return Some((coding, twin));
            }
        }
        None
    }

    async fn send(
        &self,
        path: &Path,
        mut found: Found,
        headers: &HeaderMap,
        head: bool,
    ) -> io::Result<Response<Body>> {
        let twin = self.twin(path, &found, headers).await;
        let coding = twin.as_ref().map_or("", |(coding, _)| coding.name);
        if let Some((_, twin)) = twin {
            found = twin;
        }
        let length = found.facts.len();
        let version = Version::of(&found.facts, coding);
        let mut response = Response::new(Body::empty());
        let fields = response.headers_mut();
        fields.insert(header::ETAG, tag(&version));
        if let Some(modified) = version.modified {
            let date = HeaderValue::try_from(httpdate::fmt_http_date(modified));
            fields.insert(header::LAST_MODIFIED, date.map_err(io::Error::other)?);
        }
        fields.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        fields.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let (from, count) = match answer(headers, &version, length) {
            Answer::NotModified => {
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                return Ok(response);
            }
            Answer::Failed => return Ok(status(StatusCode::PRECONDITION_FAILED)),
            Answer::Unsatisfiable => {
                let mut response = status(StatusCode::RANGE_NOT_SATISFIABLE);
                let range = HeaderValue::try_from(format!("bytes */{length}"));
                response.headers_mut().insert(header::CONTENT_RANGE, range.map_err(io::Error::other)?);
                return Ok(response);
            }
            Answer::Part(from, count) => {
                let range = format!("bytes {from}-{}/{length}", from + count - 1);
                fields.insert(header::CONTENT_RANGE, HeaderValue::try_from(range).map_err(io::Error::other)?);
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                (from, count)
            }
            Answer::Whole => (0, length),
        };
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, content_type(path));
        if !coding.is_empty() {
            fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        fields.insert(header::CONTENT_LENGTH, count.into());
        if !head {
            *response.body_mut() = match Body::file(found.file, from, count).await {
                Ok(body) => body,
                Err(BodyError::Read(error)) => return Err(error),
                Err(error @ BodyError::Shorter { .. }) => return Err(io::Error::other(error)),
            };
        }
        Ok(response)
    }

    async fn list(&self, folder: &File, asked: &Asked) -> io::Result<Response<Body>> {
        if !self.listing {
            return Ok(status(StatusCode::NOT_FOUND));
        }
        let page = listing::page(folder, asked, self.hidden).await?;
        let mut response = Response::new(Body::bytes(page));
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
        fields.insert(header::CONTENT_SECURITY_POLICY, policy);
        Ok(response)
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files")
            .field("root", &self.root)
            .field("listing", &self.listing)
            .field("hidden", &self.hidden)
            .finish()
    }
}

/// What a failed call says to a client: no more than it needs to know.
fn refuse(error: &io::Error) -> Response<Body> {
    use io::ErrorKind;
    status(match error.kind() {
        // CrossesDevices: it leads out of the folder.
        ErrorKind::NotFound
        | ErrorKind::NotADirectory
        | ErrorKind::CrossesDevices
        | ErrorKind::InvalidFilename => StatusCode::NOT_FOUND,
        ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
        // ELOOP: symbolic links in a circle.
        _ if errno(error) == Some(40) => StatusCode::NOT_FOUND,
        // ENOMEM, ENFILE, EMFILE: another time.
        _ if matches!(errno(error), Some(12 | 23 | 24)) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    })
}

/// The system's number for an error that was given a context.
fn errno(error: &io::Error) -> Option<i32> {
    error.raw_os_error().or_else(|| error.get_ref()?.source()?.downcast_ref::<io::Error>()?.raw_os_error())
}

/// An answer that is a status and its name.
fn status(status: StatusCode) -> Response<Body> {
    let text = format!("{status}\n");
    let mut response = Response::new(Body::bytes(text));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

fn tag(version: &Version) -> HeaderValue {
    let mut values = Vec::with_capacity(1);
    headers::Header::encode(&version.tag, &mut values);
    values.pop().expect("a tag is one value")
}

/// By the ending of the name. Text is UTF-8.
fn content_type(path: &Path) -> HeaderValue {
    let guess = mime_guess::from_path(path).first_raw().unwrap_or("application/octet-stream");
    let is_text = guess.starts_with("text/")
        || matches!(guess, "application/javascript" | "application/json" | "image/svg+xml");
    if !is_text {
        return HeaderValue::from_static(guess);
    }
    HeaderValue::try_from(format!("{guess}; charset=utf-8")).expect("types are plain text")
}
