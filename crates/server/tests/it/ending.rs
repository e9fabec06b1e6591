//! The end of a server that is told to end: in order, with an answer for whoever has asked, and nothing left behind.

use std::time::Duration;

use camino::Utf8Path;
use doce_testkit::{ScriptedModel, fake_agent::read_calls, wait_for};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    cli::{Serving, doce},
    logs::{lines, talkative},
    world::{BOUND, Browser, PASSWORD, World, id, make_tools},
};

/// The account that a request under way makes.
fn account() -> String {
    json!({"username": "ada", "password": PASSWORD}).to_string()
}

/// Sends a request without its body, and waits until the server asks for the body: from then on it is under way.
async fn under_way(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the server listens");
    let head = format!(
        "POST /api/setup HTTP/1.1\r\nhost: localhost:{port}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nexpect: 100-continue\r\n\r\n",
        account().len()
    );
    stream.write_all(head.as_bytes()).await.expect("the server reads");
    let mut go_on = [0_u8; 25];
    let asked = tokio::time::timeout(BOUND, stream.read_exact(&mut go_on)).await;
    asked.expect("the server asks for the body").expect("the connection is open");
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

/// Reads what comes until the server closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(BOUND, stream.read_to_end(&mut bytes)).await;
    // A connection that is cut is an end, too.
    drop(read.expect("the server closes the connection"));
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn wait_for_a_closed_door(port: u16) {
    wait_for("a closed listener", BOUND, async || TcpStream::connect(("127.0.0.1", port)).await.err()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_under_way_is_answered_before_the_server_ends() {
    let directory = tempfile::tempdir().unwrap();
    let serving = Serving::start(doce(directory.path()));
    let port = serving.port();
    let mut stream = under_way(port).await;
    serving.signal("TERM");
    wait_for_a_closed_door(port).await;
    stream.write_all(account().as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(serving.end().await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_stays_open_is_cut_when_the_time_for_it_is_over() {
    let ending = Duration::from_millis(200);
    let mut world = World::builder().limits(|limits| limits.listen.ending = ending).start().await;
    let mut stream = under_way(world.port).await;
    let begun = std::time::Instant::now();
    let ended = tokio::time::timeout(Duration::from_secs(8), world.stop_server()).await;
    ended.expect("the server ends though a request is open");
    assert!(begun.elapsed() >= ending, "the request had no time");
    assert_eq!(rest(&mut stream).await, "", "it is cut, and not answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_of_a_server_end_one_after_the_other() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = talkative(directory.path());
    command.env("DOCE_LOG", "doce=debug");
    let serving = Serving::start(command);
    serving.signal("TERM");
    assert_eq!(serving.end().await.0, 0);
    // Whoever still asks finds workers; a step at work finds its agent; what ends is written down.
    let parts = [
        "the server has ended",
        "the workers have ended",
        "the previews have ended",
        "the agents have ended",
        "the database is closed",
    ];
    let lines = lines(directory.path());
    let said: Vec<&str> = lines.iter().filter_map(|line| line["message"].as_str()).collect();
    let ended: Vec<&str> = said.into_iter().filter(|text| parts.contains(text)).collect();
    assert_eq!(ended, parts);
}

/// What runs in the sandboxes of a data directory.
fn sandboxed(data: &Utf8Path) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").expect("there is /proc").flatten();
    let arguments = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    arguments
        .map(|arguments| String::from_utf8_lossy(&arguments).replace('\0', " "))
        .filter(|arguments| arguments.contains(data.as_str()))
        .filter_map(|arguments| Some(arguments.split_once(" -- ")?.1.to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_the_end_of_the_server_interrupts_is_told_and_nothing_runs_on() {
    let directory = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(directory.path()).expect("its path is UTF-8");
    let data = root.join("data");
    let start = || {
        let mut command = doce(directory.path());
        command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", make_tools(root)));
        Serving::start(command)
    };
    let serving = start();
    let model = ScriptedModel::start().await;
    let browser = Browser::new(serving.port());
    browser.post("/api/setup", &json!({"username": "ada", "password": PASSWORD})).await.expect(201);
    browser.connect(&model, "sk-one-0123456789").await;
    let project = id(&browser.create_project("[[say: The first words]][[hang]]").await["project"]);
    let at = format!("/api/projects/{project}");
    wait_for("the answer's first words and the preview", BOUND, async || {
        let page = browser.get(&format!("{at}/messages")).await.expect(200);
        let begun = page["items"][1]["state"] == "streaming" && page.to_string().contains("The first words");
        (begun && browser.get(&at).await.expect(200)["preview"]["state"] == "ready").then_some(())
    })
    .await;
    let before = sandboxed(&data);
    let runs = |program: &str| before.iter().any(|command| command.contains(program));
    assert!(runs("/opt/opencode serve") && runs("vite.js"), "{before:#?}");
    serving.signal("TERM");
    assert_eq!(serving.end().await.0, 0);
    assert_eq!(sandboxed(&data), [""; 0]);

    let serving = start();
    let again = Browser::new(serving.port());
    again.set_cookie(browser.cookie());
    let page = again.get(&format!("{at}/messages")).await.expect(200);
    let states: Vec<_> = page["items"].as_array().unwrap().iter().map(|message| &message["state"]).collect();
    assert_eq!(states, ["sent", "interrupted"], "{page}");
    let calls = read_calls(data.join("projects").join(&project).join("home").as_std_path());
    assert_eq!(calls.iter().filter(|call| call.prompt.is_some()).count(), 1, "nothing is sent again");
    assert_eq!(again.get(&at).await.expect(200)["state"], "stopped");
    assert_eq!(sandboxed(&data), [""; 0], "nothing is started again");
}
