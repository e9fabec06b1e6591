//! What an agent may leave in its workspace.

use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use doce_testkit::{ScriptedModel, wait_for};

use super::day;
use crate::{
    backup::make_pipe,
    cli::{doce, run},
    world::{BOUND, Browser, World, id},
};

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
    assert_eq!(day.shown, format!("{} of them: directories first, then by name", items.len()));
    assert_eq!(items[0]["name"], "zoo", "directories come first, wherever the disk has them");
    assert_eq!(items[1]["name"], "file-000000");
    assert_eq!(items[4999]["name"], "file-004998", "they are the first by name");
    assert_eq!(day.next, "Open the others by their names");
    assert_eq!(browser.get(&format!("{at}/file?path=many/file-199999")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_is_not_waited_for() {
    let day = day("a_pipe_is_not_waited_for");
    let world = World::running().await;
    let (browser, at, workspace) = project(&world).await;
    make_pipe(workspace.join("pipe").as_std_path());
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

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_of_200_000_files_and_a_pipe_is_backed_up_and_deleted() {
    let day = day("a_workspace_of_200_000_files_and_a_pipe_is_backed_up_and_deleted");
    let world = World::running().await;
    let (browser, at, workspace) = project(&world).await;
    for n in 0..200_000 {
        let directory = workspace.join(format!("many/{}", n / 1000));
        if n % 1000 == 0 {
            std::fs::create_dir_all(&directory).unwrap();
        }
        std::fs::File::create(directory.join(format!("file-{n:06}"))).unwrap();
    }
    make_pipe(workspace.join("many/pipe").as_std_path());
    let _socket = std::os::unix::net::UnixListener::bind(workspace.join("socket")).unwrap();
    let away = tempfile::tempdir().unwrap();
    let mut backup = doce(away.path());
    backup.env("DOCE_DATA_DIR", world.data().as_str()).arg("backup").arg(away.path().join("backup.tar.zst"));
    let (code, said, errors) = run(&mut backup);
    assert!(code == 0 && said.contains(&day.shown), "{said}{errors}");
    let files = said.split(" files").next().and_then(|text| text.rsplit(' ').next()).unwrap();
    assert!(files.parse::<u32>().unwrap() > 200_000, "{said}");
    assert!(!said.contains("left out"), "a pipe is nothing to be restored: {said}");
    assert_eq!(day.advice(), "Nothing");
    let deleted = browser.delete(&at).await;
    assert!(deleted.status.is_success(), "{}", deleted.text());
    wait_for("the files to be gone", BOUND, async || (!workspace.exists()).then_some(())).await;
    wait_for("the project to be gone", BOUND, async || (browser.get(&at).await.status == 404).then_some(())).await;
}
