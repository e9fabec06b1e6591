//! A user prefers one model, has favourites, and a short memory of what they used.

use std::time::Duration;

use doce_model::{Actor, ModelPreference, ModelRef, Role, User, UserId, model_preference::RECENTS_MAX};
use doce_store::{model_preference, user};

use crate::bench::{Bench, START};

fn model(name: &str) -> ModelRef {
    ModelRef { provider_id: "anthropic".to_owned(), model_id: name.to_owned() }
}

async fn a_user(bench: &Bench) -> UserId {
    let id = UserId::new(START);
    let owner = User { id, username: format!("user {id}"), role: Role::Member, created_at: START, disabled_at: None };
    let mut tx = bench.store.write(&bench.ctx(Actor::Cli)).await.expect("the database does what it is told");
    user::insert(&mut tx, &owner, "hash").await.expect("the database does what it is told");
    tx.commit().await.expect("the database does what it is told");
    id
}

async fn put(bench: &Bench, user: UserId, preference: ModelPreference) {
    let mut tx = bench.store.write(&bench.ctx(Actor::User(user))).await.expect("the database does what it is told");
    model_preference::put(&mut tx, user, &preference).await.expect("the database does what it is told");
    tx.commit().await.expect("the database does what it is told");
}

async fn touch(bench: &Bench, user: UserId, name: &str) {
    bench.advance(Duration::from_secs(1));
    let mut tx = bench.store.write(&bench.ctx(Actor::User(user))).await.expect("the database does what it is told");
    model_preference::touch(&mut tx, user, &model(name)).await.expect("the database does what it is told");
    tx.commit().await.expect("the database does what it is told");
}

async fn list(bench: &Bench, user: UserId) -> Vec<ModelPreference> {
    model_preference::list(&mut bench.reader().await, user).await.expect("the database does what it is told")
}

fn used(preferences: &[ModelPreference]) -> Vec<&str> {
    preferences.iter().filter(|p| p.last_used_at.is_some()).map(|p| p.model.model_id.as_str()).collect()
}

#[tokio::test]
async fn only_one_model_is_preferred_and_what_says_nothing_is_forgotten() {
    let bench = Bench::new().await;
    let (ada, bob) = (a_user(&bench).await, a_user(&bench).await);
    let preferred = |name| ModelPreference { is_preferred: true, ..ModelPreference::none(model(name)) };
    put(&bench, ada, ModelPreference { is_favourite: true, ..preferred("one") }).await;
    put(&bench, ada, preferred("two")).await;
    put(&bench, bob, preferred("one")).await;
    let of_ada: Vec<_> = list(&bench, ada).await;
    assert_eq!(
        of_ada,
        [ModelPreference { is_favourite: true, ..ModelPreference::none(model("one")) }, preferred("two")]
    );
    put(&bench, ada, ModelPreference::none(model("one"))).await;
    put(&bench, ada, preferred("three")).await;
    assert_eq!(list(&bench, ada).await, [preferred("three")], "two says nothing any more");
    assert_eq!(list(&bench, bob).await, [preferred("one")]);
}

#[tokio::test]
async fn the_models_used_last_are_remembered_once_each_newest_first() {
    let bench = Bench::new().await;
    let ada = a_user(&bench).await;
    let names: Vec<String> = (0..=RECENTS_MAX).map(|n| format!("model-{n}")).collect();
    put(&bench, ada, ModelPreference { is_favourite: true, ..ModelPreference::none(model(&names[0])) }).await;
    for name in &names {
        touch(&bench, ada, name).await;
    }
    let newest_first: Vec<&str> = names.iter().rev().take(RECENTS_MAX).map(String::as_str).collect();
    let all = list(&bench, ada).await;
    assert_eq!(used(&all), newest_first);
    assert_eq!(all.len(), RECENTS_MAX + 1, "a favourite is not forgotten with its use");
    touch(&bench, ada, &names[3]).await;
    let all = list(&bench, ada).await;
    assert_eq!(used(&all)[0], names[3]);
    assert_eq!(used(&all).len(), RECENTS_MAX);
}
