//! The objects of a kind, as the API server lists and watches them.

use std::io;
use std::time::Duration;

use futures::io::{AsyncBufRead, AsyncBufReadExt as _};
use http::HeaderValue;
use http::header::ACCEPT;
use kube::api::{ListParams, WatchParams};
use kube::core::Request;
use kube::{Client, Error, Resource};
use serde::Deserialize;
use tokio::time::timeout;

use super::items::{Items, KEPT};

/// Number of objects in one page of a list. The API server builds a page as a whole.
const PAGE: u32 = 250;

/// The longest time between two pieces of an answer. The API server itself gives up after 60 s.
const SILENCE: Duration = Duration::from_secs(70);

/// The API server ends a watch after this many seconds.
const WATCH_SECONDS: u32 = 290;

/// <https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches>
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// All objects of a kind, or those in one namespace, or those with one name.
#[derive(Debug, Clone)]
pub struct Collection {
    path: Request,
    fields: Option<String>,
    labels: Option<String>,
    is_metadata: bool,
}

/// A list that is read page by page and object by object.
pub struct Listing<'c> {
    client: &'c Client,
    of: &'c Collection,
    page: Option<Page>,
    item: Vec<u8>,
    /// Where the next page begins; `None` before the first page.
    token: Option<String>,
    is_complete: bool,
    version: String,
}

struct Page {
    text: Body,
    items: Items,
}

/// The events after a version, line by line.
pub(super) struct Lines {
    text: Body,
    line: Vec<u8>,
}

type Body = std::pin::Pin<Box<dyn AsyncBufRead + Send>>;

/// A list without its objects.
#[derive(Deserialize)]
struct Rest {
    #[serde(default)]
    metadata: ListMetadata,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    #[serde(default)]
    resource_version: String,
    #[serde(default, rename = "continue")]
    token: String,
}

impl Collection {
    /// Returns the objects of a kind. The API server sends only their metadata, and above all no data of a Secret.
    pub fn metadata<K: Resource<DynamicType = ()>>(namespace: Option<&str>) -> Self {
        Self { is_metadata: true, ..Self::whole::<K>(namespace) }
    }

    /// Returns the objects of a kind with all of their content.
    pub fn whole<K: Resource<DynamicType = ()>>(namespace: Option<&str>) -> Self {
        Self { path: at::<K>(namespace), fields: None, labels: None, is_metadata: false }
    }

    /// Selects only the object with this name: a right to the name is enough to list it.
    pub fn named(self, name: &str) -> Self {
        self.with_fields(&format!("metadata.name={name}"))
    }

    /// Selects the objects that match this field selector.
    pub fn with_fields(self, selector: &str) -> Self {
        Self { fields: Some(selector.to_owned()), ..self }
    }

    /// Selects the objects that match this label selector.
    pub fn with_labels(self, selector: &str) -> Self {
        Self { labels: Some(selector.to_owned()), ..self }
    }

    /// Lists them.
    pub fn list<'c>(&'c self, client: &'c Client) -> Listing<'c> {
        Listing {
            client,
            of: self,
            page: None,
            item: Vec::new(),
            token: None,
            is_complete: false,
            version: String::new(),
        }
    }

    async fn page(&self, client: &Client, token: Option<String>) -> Result<Body, Error> {
        let parameters = ListParams {
            field_selector: self.fields.clone(),
            label_selector: self.labels.clone(),
            // A list "at any version" would come from the API server's cache in one piece, whatever the page's size is.
            limit: Some(PAGE),
            continue_token: token,
            ..ListParams::default()
        };
        let request =
            if self.is_metadata { self.path.list_metadata(&parameters) } else { self.path.list(&parameters) };
        body(client, request).await
    }

    /// Watches them from this version on.
    pub(super) async fn watch(&self, client: &Client, version: &str) -> Result<Lines, Error> {
        let parameters = WatchParams {
            field_selector: self.fields.clone(),
            label_selector: self.labels.clone(),
            timeout: Some(WATCH_SECONDS),
            bookmarks: true,
            send_initial_events: false,
        };
        let request = if self.is_metadata {
            self.path.watch_metadata(&parameters, version)
        } else {
            self.path.watch(&parameters, version)
        };
        Ok(Lines { text: body(client, request).await?, line: Vec::new() })
    }
}

/// Creates the base for requests about the objects of a kind, in a namespace if they have one. Send them with [`request`], which
/// returns text: kube's types fail on content that tenants may have written.
pub fn at<K: Resource<DynamicType = ()>>(namespace: Option<&str>) -> Request {
    Request::new(K::url_path(&(), namespace))
}

/// Changes a request so that the answer contains only metadata.
pub fn as_metadata(
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<http::Request<Vec<u8>>, kube::core::request::Error> {
    request.map(|mut request| {
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(METADATA));
        request
    })
}

/// Sends a request, and returns the text of the answer.
pub async fn request(
    client: &Client,
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<String, Error> {
    client.request_text(request.map_err(Error::BuildRequest)?).await
}

async fn body(
    client: &Client,
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<Body, Error> {
    let request = request.map_err(Error::BuildRequest)?;
    piece(async { Ok(Box::pin(client.request_stream(request).await?) as Body) }).await
}

/// Waits for a piece of an answer.
async fn piece<T>(piece: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(SILENCE, piece).await.unwrap_or_else(|_| {
        let problem = format!("no data arrived within {} s", SILENCE.as_secs());
        Err(Error::ReadEvents(io::Error::new(io::ErrorKind::TimedOut, problem)))
    })
}

impl Listing<'_> {
    /// Returns the text of the next object; `None` at the end of the last page.
    pub async fn next(&mut self) -> Result<Option<&str>, Error> {
        loop {
            let Some(page) = &mut self.page else {
                if self.is_complete {
                    return Ok(None);
                }
                let text = self.of.page(self.client, self.token.take()).await?;
                self.page = Some(Page { text, items: Items::default() });
                continue;
            };
            page.items.reuse(std::mem::take(&mut self.item));
            if page.advance().await? {
                self.item = page.items.item();
                break;
            }
            let Rest { metadata } = serde_json::from_slice(page.items.rest()).map_err(Error::SerdeError)?;
            self.version = metadata.resource_version;
            self.is_complete = metadata.token.is_empty();
            self.token = Some(metadata.token);
            self.page = None;
        }
        std::str::from_utf8(&self.item)
            .map(Some)
            .map_err(|error| Error::ReadEvents(io::Error::new(io::ErrorKind::InvalidData, error)))
    }

    /// Returns the version of the list, from which to watch. It is known at the end of the list.
    pub fn version(&self) -> &str {
        &self.version
    }
}

impl Page {
    /// Reads to the end of an item. Returns false at the end of the page.
    async fn advance(&mut self) -> Result<bool, Error> {
        loop {
            let text = piece(async { self.text.fill_buf().await.map_err(Error::ReadEvents) }).await?;
            if text.is_empty() {
                return Ok(false);
            }
            let (read, ends) = self.items.read(text);
            self.text.as_mut().consume(read);
            if ends {
                return Ok(true);
            }
        }
    }
}

impl Lines {
    /// Returns the next line; `None` if the watch has ended.
    pub(super) async fn next(&mut self) -> Result<Option<&[u8]>, Error> {
        if self.line.last() == Some(&b'\n') {
            self.line.clear();
            self.line.shrink_to(KEPT);
        }
        // If this is cancelled, the text that was already read is kept.
        self.text.read_until(b'\n', &mut self.line).await.map_err(Error::ReadEvents)?;
        // An incomplete line is the end of a connection that was cut.
        Ok((self.line.last() == Some(&b'\n')).then_some(&self.line))
    }
}
