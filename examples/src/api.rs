//! A REST service on axum: state, extractors, JSON, a cache in front of a slow store, and a graceful end.
//!
//! | request | answer |
//! |---|---|
//! | `GET /items/{name}` | what the store has under the name, through the cache |
//! | `PUT /items/{name}` | writes it; the cache forgets |
//! | `GET /loads` | how often the store was read for each name |

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use hyper_util::service::TowerToHyperService;
use pirn_hyper::Server;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::net::Net;
use crate::run::{Host, host};

/// How the cache is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cache {
    /// Whoever comes first reads the store, the others wait for that.
    Once,
    /// The bug: whoever finds nothing reads the store, and several may find nothing.
    Twice,
}

pub(crate) fn hosts(cache: Cache) -> Vec<Host> {
    vec![host("server", move |net| server(net, cache)), host("client", client)]
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Item {
    price: u32,
}

/// What all requests share.
struct Shop {
    cache: Cache,
    cached: Mutex<BTreeMap<String, Arc<OnceCell<Option<Item>>>>>,
    stored: Mutex<BTreeMap<String, Item>>,
    loads: Mutex<BTreeMap<String, u32>>,
}

impl Shop {
    fn new(cache: Cache) -> Self {
        let stored = Mutex::new([("tea".to_owned(), Item { price: 3 })].into());
        Self { cache, cached: Mutex::default(), stored, loads: Mutex::default() }
    }

    /// Reads the store, which takes its time.
    async fn load(&self, name: &str) -> Option<Item> {
        *self.loads.lock().expect("no panic").entry(name.to_owned()).or_default() += 1;
        pirn::time::sleep(Duration::from_millis(5)).await;
        self.stored.lock().expect("no panic").get(name).cloned()
    }

    async fn item(&self, name: &str) -> Option<Item> {
        match self.cache {
            Cache::Once => {
                let cell =
                    Arc::clone(self.cached.lock().expect("no panic").entry(name.to_owned()).or_default());
                cell.get_or_init(|| self.load(name)).await.clone()
            }
            Cache::Twice => {
                let cached = self.cached.lock().expect("no panic").get(name).cloned();
                if let Some(item) = cached.and_then(|cell| cell.get().cloned()) {
                    return item;
                }
                let item = self.load(name).await;
                let cell = Arc::new(OnceCell::new_with(Some(item.clone())));
                self.cached.lock().expect("no panic").insert(name.to_owned(), cell);
                item
            }
        }
    }
}

async fn get_item(State(shop): State<Arc<Shop>>, Path(name): Path<String>) -> Result<Json<Item>, StatusCode> {
    shop.item(&name).await.map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn put_item(
    State(shop): State<Arc<Shop>>,
    Path(name): Path<String>,
    Json(item): Json<Item>,
) -> StatusCode {
    shop.stored.lock().expect("no panic").insert(name.clone(), item);
    // After the store: who fills the cache from here on reads the new one.
    shop.cached.lock().expect("no panic").remove(&name);
    StatusCode::NO_CONTENT
}

async fn get_loads(State(shop): State<Arc<Shop>>) -> Json<BTreeMap<String, u32>> {
    Json(shop.loads.lock().expect("no panic").clone())
}

async fn server(net: Net, cache: Cache) -> io::Result<()> {
    let router = Router::new()
        .route("/items/{name}", get(get_item).put(put_item))
        .route("/loads", get(get_loads))
        .with_state(Arc::new(Shop::new(cache)));
    let listener = net.listen("server").await?;
    let stop = async { drop(net.closing_time().await) };
    Server::new().serve(listener, TowerToHyperService::new(router), stop).await;
    Ok(())
}

/// A request; the status and the body of its answer.
async fn ask(net: &Net, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
    let stream = net.connect("server").await?;
    let request = format!(
        "{method} {path} HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8(answer).map_err(io::Error::other)?;
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    status.zip(body).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

async fn client(net: Net) -> io::Result<()> {
    // Two who ask at once, for a thing that nobody has asked for yet.
    let asking: Vec<_> = (0..2)
        .map(|_| {
            let net = net.clone();
            pirn::spawn(async move { ask(&net, "GET", "/items/tea", "").await })
        })
        .collect();
    for asked in asking {
        assert_eq!(asked.await??, (200, r#"{"price":3}"#.to_owned()));
    }
    assert_eq!(ask(&net, "GET", "/items/coffee", "").await?.0, 404);
    assert_eq!(ask(&net, "PUT", "/items/tea", r#"{"price":"#).await?.0, 400);
    let (_, loads) = ask(&net, "GET", "/loads", "").await?;
    let loads: BTreeMap<String, u32> = serde_json::from_str(&loads)?;
    assert_eq!(loads.get("tea"), Some(&1), "the cache was filled more than once: {loads:?}");
    assert_eq!(ask(&net, "PUT", "/items/tea", r#"{"price":4}"#).await?.0, 204);
    assert_eq!(ask(&net, "GET", "/items/tea", "").await?, (200, r#"{"price":4}"#.to_owned()));
    Ok(())
}
