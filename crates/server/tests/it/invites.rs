//! Invites: a link makes one account, once, within a week.

use doce_model::invite::INVITE_LIFE;
use serde_json::{Value, json};

use crate::world::{Browser, PASSWORD, World, id};

async fn invite(admin: &Browser, role: &str) -> (String, Value) {
    let made = admin.post("/api/invites", &json!({"role": role})).await.expect(201);
    let path = made["path"].as_str().expect("a page");
    // Behind the `#`: a browser sends it to nobody.
    (path.strip_prefix("/invite#").expect("a link").to_owned(), made["invite"].clone())
}

fn account(token: &str, username: &str) -> Value {
    json!({"token": token, "username": username, "password": PASSWORD})
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_the_link_makes_an_account_and_is_signed_in_once() {
    let world = World::start().await;
    let admin = world.admin().await;
    let (token, made) = invite(&admin, "member").await;
    assert_eq!((&made["role"], &made["by"]), (&json!("member"), &json!("ada")));
    let guest = world.nobody();
    assert_eq!(guest.post("/api/invited", &json!({"token": token})).await.expect(200), made);
    let listed = admin.get("/api/invites").await.expect(200);
    assert_eq!(listed["items"], json!([made]));
    assert!(!listed.to_string().contains(&token));

    // What is wrong with a name or a password costs nobody the invite.
    guest.post("/api/invited/account", &account(&token, "a b")).await.problem(422, "invalid");
    guest.post("/api/invited/account", &account(&token, "ADA")).await.problem(422, "invalid");
    let user = guest.post("/api/invited/account", &account(&token, "eve")).await.expect(201);
    assert_eq!((&user["username"], &user["role"]), (&json!("eve"), &json!("member")));
    assert_eq!(guest.get("/api/me").await.expect(200), user);
    assert!(admin.get("/api/invites").await.expect(200)["items"].as_array().unwrap().is_empty());
    for (path, body) in
        [("/api/invited", json!({"token": token})), ("/api/invited/account", account(&token, "mallory"))]
    {
        world.nobody().post(path, &body).await.problem(409, "invite_gone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_use_a_link_at_once_make_one_account() {
    let world = World::start().await;
    let admin = world.admin().await;
    let (token, _) = invite(&admin, "admin").await;
    let (one, two) = (world.nobody(), world.nobody());
    let (first, second) = (account(&token, "one"), account(&token, "two"));
    let (one, two) = tokio::join!(async { one.post("/api/invited/account", &first).await.status.as_u16() }, async {
        two.post("/api/invited/account", &second).await.status.as_u16()
    },);
    let mut statuses = [one, two];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    assert_eq!(admin.get("/api/users").await.expect(200)["items"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_worthless_when_it_is_taken_back_old_or_its_maker_is_no_admin_any_more() {
    let world = World::start().await;
    let admin = world.admin().await;
    let gone = async |token: &str| {
        world.nobody().post("/api/invited/account", &account(token, "eve")).await.problem(409, "invite_gone");
    };
    gone("never-was").await;
    let (token, made) = invite(&admin, "member").await;
    let at = format!("/api/invites/{}", id(&made));
    assert_eq!(admin.delete(&at).await.status, 204);
    admin.delete(&at).await.problem(404, "invite_not_found");
    gone(&token).await;

    let (token, _) = invite(&admin, "member").await;
    world.clock.advance(INVITE_LIFE);
    gone(&token).await;
    assert!(admin.get("/api/invites").await.expect(200)["items"].as_array().unwrap().is_empty());

    let bob = world.member(&admin, "bob").await;
    let who = format!("/api/users/{}", id(&bob.get("/api/me").await.json()));
    admin.patch(&who, &json!({"role": "admin"})).await.expect(200);
    let (token, _) = invite(&bob, "admin").await;
    admin.patch(&who, &json!({"role": "member"})).await.expect(200);
    gone(&token).await;
    admin.patch(&who, &json!({"role": "admin"})).await.expect(200);
    admin.patch(&who, &json!({"disabled": true})).await.expect(200);
    gone(&token).await;
}
