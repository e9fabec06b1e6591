//! Files and logs of a project: a stranger's words, sent as such.

use doce_testkit::ScriptedModel;
use serde_json::Value;

use crate::world::{Browser, World, id};

async fn with_files(world: &World) -> (Browser, String) {
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    browser.connect(&model, "sk-one-0123456789").await;
    let prompt = "[[write: evil.html | <script>alert(1)</script>]][[write: evil.svg | <svg onload=\"alert(1)\"/>]]\
        [[bash: printf 'a\\\\000b' > data.bin; ln -s /etc/passwd link; mkdir -p deep/er; echo hi > deep/er/file.txt]][[say: done]]";
    let created = browser.create_project(prompt).await;
    let project = id(&created["project"]);
    browser.wait_for_words(&project, "done").await;
    (browser, format!("/api/projects/{project}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_wrote_is_sent_as_text_or_bytes_and_nothing_runs() {
    let world = World::running().await;
    let (browser, at) = with_files(&world).await;
    for (path, kind, attachment) in [
        ("evil.html", "text/plain; charset=utf-8", false),
        ("evil.svg", "text/plain; charset=utf-8", false),
        ("data.bin", "application/octet-stream", true),
        ("deep/er/file.txt", "text/plain; charset=utf-8", false),
    ] {
        let answer = browser.get(&format!("{at}/file?path={path}")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), kind, "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("content-security-policy"), "sandbox; default-src 'none'", "{path}");
        assert_eq!(answer.header("content-disposition").starts_with("attachment"), attachment, "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
    assert_eq!(browser.get(&format!("{at}/file?path=evil.html")).await.text(), "<script>alert(1)</script>");
    assert_eq!(browser.get(&format!("{at}/file?path=data.bin")).await.body, b"a\0b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_leads_nowhere_but_into_the_workspace() {
    let world = World::running().await;
    let (browser, at) = with_files(&world).await;
    for path in ["link", "../home", "..", "/etc/passwd", "deep/../../home", "deep/er/../../link", "%00"] {
        for route in ["file", "files"] {
            let answer = browser.get(&format!("{at}/{route}?path={path}")).await;
            assert!(answer.status.is_client_error(), "{route} {path}: {} {}", answer.status, answer.text());
            assert!(!answer.text().contains("root:"), "{route} {path}");
        }
    }
    browser.get(&format!("{at}/file?path=link")).await.problem(403, "path_refused");
    browser.get(&format!("{at}/file?path=nothing")).await.problem(404, "file_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_listed_with_what_each_entry_is() {
    let world = World::running().await;
    let (browser, at) = with_files(&world).await;
    let list = browser.get(&format!("{at}/files")).await.expect(200);
    let kind = |name: &str| {
        let items = list["items"].as_array().unwrap();
        items.iter().find(|item| item["name"] == name).map_or(Value::Null, |item| item["kind"].clone())
    };
    assert_eq!((kind("deep"), kind("evil.html"), kind("link")), ("directory".into(), "file".into(), "link".into()));
    let deep = browser.get(&format!("{at}/files?path=deep/er")).await.expect(200);
    assert_eq!((&deep["items"][0]["path"], &deep["items"][0]["size"]), (&"deep/er/file.txt".into(), &3.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_plain_text() {
    let world = World::running().await;
    let (browser, at) = with_files(&world).await;
    for source in ["agent", "preview", "install"] {
        let answer = browser.get(&format!("{at}/logs?source={source}")).await;
        assert_eq!(answer.status, 200, "{source}");
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(answer.header("content-security-policy"), "sandbox; default-src 'none'");
    }
    let agent = browser.get(&format!("{at}/logs?source=agent")).await.text();
    assert!(agent.contains("listening"), "{agent}");
    browser.get(&format!("{at}/logs?source=secrets")).await.problem(422, "invalid");
}
