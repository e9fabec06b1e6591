//! The proxy between real sockets: a browser's side, the proxy, and apps of every kind.

mod entering;
mod exchange;
mod sockets;
mod streaming;
mod unwell;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{
        Request, State, WebSocketUpgrade,
        ws::{Message as AppMessage, WebSocket},
    },
    response::{IntoResponse, Response},
    routing::{any, get},
};
use doce_model::{Clock, Ms, PreviewState, ProjectId, SignInId};
use futures::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use secrecy::ExposeSecret;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Mutex, mpsc},
    time::timeout,
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    access::{PASS_LIFE, TICKET_LIFE},
    *,
};

/// How long anything that should happen at once may take on a busy machine.
const SOON: Duration = Duration::from_secs(20);

#[derive(Debug)]
struct SetClock(AtomicI64);

impl SetClock {
    fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).expect("it is short");
        self.0.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Ms {
        Ms(self.0.load(Ordering::SeqCst))
    }
}

/// A proxy with one Project, and a browser before it.
struct World {
    preview: Arc<Preview>,
    clock: Arc<SetClock>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
    project: ProjectId,
    sign_in: SignInId,
    origin: Origin,
    front: SocketAddr,
    client: Client<HttpConnector, Body>,
}

/// An app on an address, and what it is.
struct At {
    address: SocketAddr,
}

const HOME: &str = "http://localhost:4321/projects/prj_1";
const OPENER: &str = "http://localhost:4321";
const OWN: &str = "http://bakery.preview.localhost:4321";

impl World {
    async fn with(app: &At) -> Self {
        let address = app.address;
        Self::start(OWN, Upstream::Ready { address }, Limits::default()).await
    }

    async fn start(own: &str, upstream: Upstream, limits: Limits) -> Self {
        let clock = Arc::new(SetClock(AtomicI64::new(1_790_000_000_000)));
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let preview = Arc::new(Preview::new(Arc::clone(&clock) as Arc<dyn Clock>, limits, tasks.clone(), &shutdown));
        let (project, origin) = (ProjectId::new(clock.now()), parse(own));
        let door = (Arc::clone(&preview), upstream, origin.clone(), project);
        let router = Router::new().fallback(any(door_opens)).with_state(Arc::new(door));
        let front = serve(router, &tasks).await;
        Self {
            preview,
            clock,
            shutdown,
            tasks,
            project,
            sign_in: SignInId::new(Ms(1)),
            origin,
            front,
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    fn grant(&self) -> Grant {
        Grant { project: self.project, sign_in: Some(self.sign_in), opener: parse(OPENER) }
    }

    fn ticket(&self) -> String {
        self.preview.issue(self.grant()).secret.expose_secret().to_owned()
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let host = self.origin.as_str().split_once("//").expect("it has a scheme").1;
        Request::builder().method(method).uri(format!("http://{}{path}", self.front)).header(header::HOST, host)
    }

    async fn send(&self, request: Request) -> Response {
        let response = timeout(SOON, self.client.request(request)).await;
        response.expect("it answers soon").expect("it answers").map(Body::new)
    }

    async fn get(&self, path: &str, lines: &[(&str, &str)]) -> Response {
        self.send(self.built(Method::GET, path, lines)).await
    }

    fn built(&self, method: Method, path: &str, lines: &[(&str, &str)]) -> Request {
        let request =
            lines.iter().fold(self.request(method, path), |request, (name, value)| request.header(*name, *value));
        request.body(Body::empty()).expect("it is a request")
    }

    /// Enters with a new ticket; returns the cookie as a browser sends it.
    async fn pass(&self) -> String {
        let path = format!("/.doce/enter?ticket={}", self.ticket());
        let response = self.get(&path, &[]).await;
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        let cookie = text(response.headers(), &header::SET_COOKIE);
        cookie.split_once(';').expect("it has attributes").0.to_owned()
    }

    async fn get_inside(&self, path: &str) -> Response {
        let pass = self.pass().await;
        self.get(path, &[("cookie", &pass)]).await
    }

    async fn socket(&self, lines: &[(&str, &str)]) -> Result<WebSocketStream<TcpStream>, tungstenite::Error> {
        let host = self.origin.as_str().split_once("//").expect("it has a scheme").1;
        let mut request = tungstenite::http::Request::builder()
            .uri(format!("ws://{host}/socket"))
            .header("host", host)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let stream = TcpStream::connect(self.front).await.expect("the proxy listens");
        let request = request.body(()).expect("it is a request");
        timeout(SOON, client_async(request, stream)).await.expect("it answers soon").map(|(socket, _)| socket)
    }
}

type Door = (Arc<Preview>, Upstream, Origin, ProjectId);

async fn door_opens(State(door): State<Arc<Door>>, request: Request) -> Response {
    let (preview, upstream, origin, project) = &*door;
    let visit = Visit { project: *project, origin, home: HOME, upstream, id: "req_1" };
    preview.serve(request, visit).await
}

fn parse(origin: &str) -> Origin {
    Origin::parse(origin).expect("it is an origin")
}

async fn serve(router: Router, tasks: &TaskTracker) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    tasks.spawn(async move { axum::serve(listener, router).await });
    address
}

/// An app that tells what it was asked.
async fn mirror() -> At {
    let router = Router::new().route("/socket", get(echo_socket)).fallback(any(async |request: Request| {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.expect("the body arrives").to_bytes();
        let mut told = format!("{} {}\n", parts.method, parts.uri);
        for (name, value) in &parts.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            told = format!("{told}{name}: {value}\n");
        }
        format!("{told}\n{}", String::from_utf8_lossy(&body))
    }));
    At { address: serve(router, &TaskTracker::new()).await }
}

/// An app that answers everything with these headers.
async fn app_saying(status: StatusCode, lines: &[(&'static str, &'static str)]) -> At {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_static(value));
    }
    let router = Router::new().fallback(any(async move || (status, headers.clone(), "body")));
    At { address: serve(router, &TaskTracker::new()).await }
}

/// An app that answers each connection with these bytes, whatever it was asked, and then keeps it open.
async fn app_writing(bytes: Vec<u8>) -> At {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    TaskTracker::new().spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(&bytes).await;
            open.push(stream);
        }
    });
    At { address }
}

async fn echo_socket(headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    let told = ["host", "origin", "cookie", "sec-websocket-protocol"]
        .map(|name| headers.get(name).map_or("-", |value| value.to_str().unwrap_or("?")).to_owned())
        .join(" ");
    upgrade
        .protocols(["vite-hmr"])
        .on_upgrade(async move |mut socket: WebSocket| {
            if socket.send(AppMessage::Text(told.into())).await.is_err() {
                return;
            }
            while let Some(Ok(message)) = socket.recv().await {
                if socket.send(message).await.is_err() {
                    return;
                }
            }
        })
        .into_response()
}

fn text(headers: &HeaderMap, name: impl http::header::AsHeaderName) -> String {
    let value = headers.get(name).expect("the header is there");
    value.to_str().expect("it is ASCII").to_owned()
}

async fn body(response: Response) -> String {
    let bytes = timeout(SOON, response.into_body().collect()).await;
    let bytes = bytes.expect("it ends soon").expect("it arrives").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("it is text")
}

async fn next_text(socket: &mut WebSocketStream<TcpStream>) -> Option<String> {
    match timeout(SOON, socket.next()).await.expect("something comes soon") {
        Some(Ok(tungstenite::Message::Text(text))) => Some(text.to_string()),
        _ => None,
    }
}
