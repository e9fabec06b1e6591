//! What an agent may leave in its workspace.

use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use doce_testkit::ScriptedModel;

use super::day;
use crate::world::{Browser, World, id};

/// A project, the address of its routes, and where its workspace lies.
async fn project(world: &World) -> (Browser, String, Utf8PathBuf) {
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    browser.connect(&model, "sk-one-0123456789").await;
    let project = id(&browser.create_project("[[say: done]]").await["project"]);
    browser.wait_for_words(&project, "done").await;
    let workspace = world.data().join("projects").join(&project).join("workspace");
    assert!(workspace.join(".git").exists(), "{workspace} is no workspace");
    (browser, format!("/api/projects/{project}"), workspace)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_of_200_000_files_is_listed_in_part_and_at_once() {
    let day = day("a_workspace_of_200_000_files_is_listed_in_part_and_at_once");
    let world = World::running().await;
    let (browser, at, workspace) = project(&world).await;
    let many = workspace.join("many");
    std::fs::create_dir(&many).unwrap();
    for n in 0..200_000 {
        std::fs::File::create(many.join(format!("file-{n:06}"))).unwrap();
    }
    std::fs::create_dir(many.join("zoo")).unwrap();
    let begun = Instant::now();
    let list = browser.get(&format!("{at}/files?path=many")).await.expect(200);
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len().to_string(), day.shown.split(' ').next().unwrap_or_default());
    assert_eq!(items[0]["name"], "zoo", "directories come first, wherever the disk has them");
    assert_eq!(items[1]["name"], "file-000000");
    assert_eq!(items[4999]["name"], "file-004998", "they are the first by name");
    // What isn't listed is opened by its name.
    assert_eq!(browser.get(&format!("{at}/file?path=many/file-199999")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_is_not_waited_for() {
    let day = day("a_pipe_is_not_waited_for");
    let world = World::running().await;
    let (browser, at, workspace) = project(&world).await;
    #[expect(clippy::disallowed_methods, reason = "there is no other way to make one without unsafe code")]
    let made = std::process::Command::new("mkfifo").arg(workspace.join("pipe").as_std_path()).status();
    assert!(made.unwrap().success());
    let asked = tokio::time::timeout(Duration::from_secs(10), browser.get(&format!("{at}/file?path=pipe"))).await;
    let problem = asked.expect("nobody writes into it, and nobody waits").problem(422, &day.shown);
    assert!(problem["detail"].as_str().unwrap().contains(&day.next), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_out_of_the_workspace_is_not_followed() {
    let day = day("a_link_out_of_the_workspace_is_not_followed");
    let world = World::running().await;
    let (browser, at, workspace) = project(&world).await;
    for (name, target) in [("link", "/etc/passwd"), ("up", ".."), ("key", world.data().join("master.key").as_str())] {
        std::os::unix::fs::symlink(target, workspace.join(name)).unwrap();
    }
    for path in ["link", "up/workspace/link", "key", "up"] {
        let problem = browser.get(&format!("{at}/file?path={path}")).await.problem(403, &day.shown);
        assert!(problem["detail"].as_str().unwrap().contains(&day.next), "{problem}");
    }
}
