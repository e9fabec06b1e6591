//! Every noun is written, changed, found and removed: what a database does not take in a query shows here.

use std::collections::BTreeSet;

use doce_model::{
    Actor, AuthType, Connection, ConnectionId, ConnectionStatus, CredentialId, CustomModel, CustomProvider, Delivery,
    DeliveryId, DeliveryMode, DeliveryStatus, Desired, ImportedKind, Instance, InstanceId, Message, MessageId,
    MessageState, ModelRef, Ms, Observed, Outcome, Part, PartId, PartKind, Project, ProjectId, Role, Session,
    SessionId, SignIn, SignInId, Speaker, User, UserId, Verification,
};
use doce_store::{
    Reader, Tx, connection, connection::SealedCredential, conversation, custom_provider, delivery, imported, instance,
    project, sealed, setting, user,
};

use crate::bench::{Bench, START};

const LATER: Ms = Ms(START.0 + 60_000);

async fn tx(bench: &Bench) -> Tx {
    bench.store.write(&bench.ctx(Actor::Cli)).await.expect("a transaction begins")
}

async fn read(bench: &Bench) -> Reader {
    bench.reader().await
}

fn person(name: &str) -> User {
    User { id: UserId::new(START), username: name.to_owned(), role: Role::Member, created_at: START, disabled_at: None }
}

fn model() -> ModelRef {
    ModelRef { provider_id: "anthropic".to_owned(), model_id: "claude".to_owned() }
}

fn made(owner: UserId, slug: &str) -> Project {
    Project {
        id: ProjectId::new(START),
        user_id: owner,
        name: "Bäckerei 🥐".to_owned(),
        slug: slug.to_owned(),
        desired: Desired::Running,
        model: model(),
        workspace: "w".to_owned(),
        home: "h".to_owned(),
        created_at: START,
        updated_at: START,
        last_active_at: START,
    }
}

fn key(owner: UserId, label: &str) -> Connection {
    Connection {
        id: ConnectionId::new(START),
        user_id: owner,
        provider_id: "anthropic".to_owned(),
        label: label.to_owned(),
        auth_type: AuthType::Api,
        status: ConnectionStatus::Connected,
        error_message: None,
        verification: Some(Verification { outcome: Outcome::Valid, at: START, detail: "It works.".to_owned() }),
        base_url: None,
        is_default: false,
        fingerprint: "f0".to_owned(),
        last_four: "7890".to_owned(),
        version: 1,
        created_at: START,
        updated_at: START,
        expires_at: None,
        last_used_at: None,
        key_since: START,
        max_age_days: Some(90),
        kept_version: None,
    }
}

/// A user with a Project.
async fn owner_and_project(tx: &mut Tx) -> (User, Project) {
    let ada = person("Ada");
    user::insert(tx, &ada, "hash").await.expect("the name is free");
    let bakery = made(ada.id, "bakery");
    project::insert(tx, &bakery).await.expect("the name is free");
    (ada, bakery)
}

#[tokio::test]
async fn people_and_their_sign_ins() {
    let bench = Bench::new().await;
    let ada = person("Ada");
    let mut write = tx(&bench).await;
    user::insert(&mut write, &ada, "hash").await.unwrap();
    let sign_in = SignIn {
        id: SignInId::new(START),
        user_id: ada.id,
        created_at: START,
        last_seen_at: START,
        expires_at: LATER,
        address: None,
        user_agent: Some("browser".to_owned()),
    };
    user::insert_sign_in(&mut write, &sign_in, "token").await.unwrap();
    let other = SignIn { id: SignInId::new(LATER), address: Some("192.0.2.7".to_owned()), ..sign_in.clone() };
    user::insert_sign_in(&mut write, &other, "other").await.unwrap();
    write.commit().await.unwrap();

    let mut write = tx(&bench).await;
    assert!(user::insert(&mut write, &person("ADA"), "hash").await.unwrap_err().is_taken());
    drop(write);

    let mut write = tx(&bench).await;
    user::set_password(&mut write, ada.id, "second").await.unwrap();
    user::renew_hash(&mut write, ada.id, "first", "lost").await.unwrap();
    user::renew_hash(&mut write, ada.id, "second", "third").await.unwrap();
    user::touch_sign_in(&mut write, sign_in.id, Ms(LATER.0 + 1)).await.unwrap();
    write.commit().await.unwrap();
    let mut reader = read(&bench).await;
    assert_eq!(user::count(&mut reader).await.unwrap(), 1);
    assert_eq!(user::list(&mut reader).await.unwrap(), std::slice::from_ref(&ada));
    assert_eq!(user::find(&mut reader, ada.id).await.unwrap().as_ref(), Some(&ada));
    let found = user::find_by_name(&mut reader, "aDa").await.unwrap();
    assert_eq!(found, Some((ada.clone(), "third".to_owned())));
    assert_eq!(user::find_by_name(&mut reader, "a\0da").await.unwrap(), None);
    assert_eq!(user::names(&mut reader, &BTreeSet::from([ada.id])).await.unwrap()[&ada.id], "Ada");
    let (by_token, whose) = user::find_sign_in(&mut reader, "token", START).await.unwrap().unwrap();
    assert_eq!((by_token.id, by_token.expires_at, whose), (sign_in.id, Ms(LATER.0 + 1), ada.clone()));
    assert_eq!(user::list_sign_ins(&mut reader, ada.id, START).await.unwrap().len(), 2);
    drop(reader);

    let mut write = tx(&bench).await;
    user::delete_other_sign_ins(&mut write, ada.id, Some(sign_in.id)).await.unwrap();
    user::delete_expired_sign_ins(&mut write).await.unwrap();
    assert!(user::delete_sign_in(&mut write, ada.id, sign_in.id).await.unwrap());
    assert!(!user::delete_sign_in(&mut write, ada.id, sign_in.id).await.unwrap());
    user::delete_other_sign_ins(&mut write, ada.id, None).await.unwrap();
    write.commit().await.unwrap();
}

/// A user's third Project is another provider's, the second one's choice is gone, and the fourth chose the default.
#[tokio::test]
async fn a_connection_pays_for_the_projects_that_chose_it_or_left_it_to_the_default() {
    let bench = Bench::new().await;
    let mut write = tx(&bench).await;
    let (ada, bakery) = owner_and_project(&mut write).await;
    let default = Connection { is_default: true, ..key(ada.id, "default") };
    let (work, gone) = (key(ada.id, "work"), Connection { status: ConnectionStatus::Revoked, ..key(ada.id, "gone") });
    let other = Connection { provider_id: "openai".to_owned(), ..key(ada.id, "other") };
    for each in [&default, &work, &gone, &other] {
        connection::insert(&mut write, each, None).await.unwrap();
    }
    let mut projects = vec![bakery];
    for slug in ["garden", "library", "harbour", "station"] {
        let mut project = made(ada.id, slug);
        if slug == "library" {
            project.model.provider_id = "openai".to_owned();
        }
        project::insert(&mut write, &project).await.unwrap();
        projects.push(project);
    }
    let [bakery, garden, library, harbour, station] = &projects[..] else { panic!("there are five") };
    for (project, chosen) in [(bakery, &work), (garden, &gone), (library, &work), (harbour, &default)] {
        connection::choose(&mut write, project.id, ada.id, "anthropic", chosen.id).await.unwrap();
    }
    // Somebody else's are their own.
    let eve = person("Eve");
    user::insert(&mut write, &eve, "hash").await.unwrap();
    let hers = Connection { is_default: true, ..key(eve.id, "hers") };
    connection::insert(&mut write, &hers, None).await.unwrap();
    project::insert(&mut write, &made(eve.id, "elsewhere")).await.unwrap();
    write.commit().await.unwrap();

    let mut reader = read(&bench).await;
    // Nobody's default for its provider, and chosen nowhere: it pays for nothing.
    let expected = [
        (&default, BTreeSet::from([garden.id, harbour.id, station.id])),
        (&work, BTreeSet::from([bakery.id])),
        (&other, BTreeSet::new()),
    ];
    let counted = connection::count_paid(&mut reader, ada.id).await.unwrap();
    assert_eq!(counted.len(), 2, "{counted:?}");
    for (connection, projects) in expected {
        let listed = connection::paid_by(&mut reader, connection).await.unwrap();
        let listed: BTreeSet<ProjectId> = listed.into_iter().map(|(id, _)| id).collect();
        assert_eq!(listed, projects, "{}", connection.label);
        assert_eq!(counted.get(&connection.id).copied().unwrap_or(0), projects.len() as u64, "{}", connection.label);
    }
    assert_eq!(connection::count_paid(&mut reader, eve.id).await.unwrap()[&hers.id], 1);
}

#[tokio::test]
async fn connections_and_their_credentials() {
    let bench = Bench::new().await;
    let mut write = tx(&bench).await;
    let (ada, bakery) = owner_and_project(&mut write).await;
    let mut main = key(ada.id, "main");
    connection::insert(&mut write, &main, Some(&[0, 255])).await.unwrap();
    let login = Connection { auth_type: AuthType::OAuth, expires_at: Some(LATER), ..key(ada.id, "login") };
    connection::insert(&mut write, &login, None).await.unwrap();
    for (of, version) in [(main.id, 1), (main.id, 2), (login.id, 1)] {
        let credential = SealedCredential {
            id: CredentialId::new(START),
            connection_id: of,
            user_id: ada.id,
            version,
            sealed: vec![0, 1, 255],
            key_id: "k1".to_owned(),
        };
        connection::insert_credential(&mut write, &credential).await.unwrap();
    }
    main.is_default = true;
    main.version = 2;
    connection::update(&mut write, &main).await.unwrap();
    connection::touch(&mut write, main.id).await.unwrap();
    connection::choose(&mut write, bakery.id, ada.id, "anthropic", main.id).await.unwrap();
    connection::choose(&mut write, bakery.id, ada.id, "anthropic", login.id).await.unwrap();
    write.commit().await.unwrap();

    let mut write = tx(&bench).await;
    assert!(connection::insert(&mut write, &key(ada.id, "main"), None).await.unwrap_err().is_taken());
    drop(write);

    let mut reader = read(&bench).await;
    let labels = |all: &[Connection]| all.iter().map(|c| c.label.clone()).collect::<Vec<_>>();
    assert_eq!(labels(&connection::list(&mut reader, ada.id).await.unwrap()), ["main", "login"]);
    let mut verifiable = labels(&connection::verifiable(&mut reader).await.unwrap());
    verifiable.sort_unstable();
    assert_eq!(verifiable, ["login", "main"], "made in one moment");
    assert_eq!(connection::list_all(&mut reader).await.unwrap().len(), 2);
    assert_eq!(connection::expiring(&mut reader).await.unwrap()[0].connection_id, login.id);
    let found = connection::find(&mut reader, main.id).await.unwrap().unwrap();
    assert_eq!(
        (found.verification, found.last_used_at, found.max_age_days),
        (main.verification.clone(), Some(START), Some(90))
    );
    assert_eq!(connection::named(&mut reader, &BTreeSet::from([main.id]), ada.id).await.unwrap()[0].label, "main");
    let (credential, metadata) = connection::find_credential(&mut reader, main.id).await.unwrap().unwrap();
    assert_eq!((credential.version, credential.sealed, metadata), (2, vec![0, 1, 255], Some(vec![0, 255])));
    let (_, metadata) = connection::find_credential(&mut reader, login.id).await.unwrap().unwrap();
    assert_eq!(metadata, None);
    assert_eq!(connection::count_credentials(&mut reader).await.unwrap(), 2);
    assert_eq!(sealed::count(&mut reader).await.unwrap(), 3);
    assert_eq!(sealed::list(&mut reader, sealed::Column::Metadata, "", 9).await.unwrap()[0].version, 1);
    let chosen = vec![("anthropic".to_owned(), login.id)];
    assert_eq!(connection::chosen(&mut reader, bakery.id).await.unwrap(), chosen);
    assert_eq!(labels(&connection::of_project(&mut reader, bakery.id, ada.id).await.unwrap()), ["login"]);
    drop(reader);

    let mut write = tx(&bench).await;
    let signed_in = Connection { auth_type: AuthType::OAuth, base_url: Some("b".to_owned()), ..main.clone() };
    connection::update(&mut write, &signed_in).await.unwrap();
    connection::set_metadata(&mut write, main.id, None).await.unwrap();
    let found = connection::find(&mut write, main.id).await.unwrap().unwrap();
    assert_eq!((found.auth_type, found.base_url), (AuthType::OAuth, Some("b".to_owned())));
    assert_eq!(connection::find_credential(&mut write, main.id).await.unwrap().unwrap().1, None);
    connection::unchoose(&mut write, bakery.id, "anthropic").await.unwrap();
    assert_eq!(connection::chosen(&mut write, bakery.id).await.unwrap(), []);
    connection::clear_default(&mut write, ada.id, "anthropic").await.unwrap();
    connection::retire_credentials(&mut write, main.id).await.unwrap();
    assert!(connection::find_credential(&mut write, main.id).await.unwrap().is_none());
    write.commit().await.unwrap();
}

#[tokio::test]
async fn a_disabled_accounts_keys_and_logins_are_neither_asked_about_nor_renewed() {
    let bench = Bench::new().await;
    let mut write = tx(&bench).await;
    let (ada, _) = owner_and_project(&mut write).await;
    let login = Connection { auth_type: AuthType::OAuth, expires_at: Some(LATER), version: 1, ..key(ada.id, "login") };
    for connection in [&key(ada.id, "main"), &login] {
        connection::insert(&mut write, connection, None).await.unwrap();
    }
    let credential = SealedCredential {
        id: CredentialId::new(START),
        connection_id: login.id,
        user_id: ada.id,
        version: 1,
        sealed: vec![1],
        key_id: "k1".to_owned(),
    };
    connection::insert_credential(&mut write, &credential).await.unwrap();
    for (disabled_at, asked, renewed) in [(None, 2, 1), (Some(LATER), 0, 0), (None, 2, 1)] {
        user::set_disabled(&mut write, ada.id, disabled_at).await.unwrap();
        assert_eq!(connection::verifiable(&mut write).await.unwrap().len(), asked, "{disabled_at:?}");
        assert_eq!(connection::expiring(&mut write).await.unwrap().len(), renewed, "{disabled_at:?}");
    }
}

#[tokio::test]
async fn projects_their_agents_and_what_those_were_handed() {
    let bench = Bench::new().await;
    let mut write = tx(&bench).await;
    let (ada, mut bakery) = owner_and_project(&mut write).await;
    let garden = Project { id: ProjectId::new(LATER), ..made(ada.id, "garden") };
    project::insert(&mut write, &garden).await.unwrap();
    bakery.last_active_at = LATER;
    project::update(&mut write, &bakery).await.unwrap();
    let agent = Instance {
        id: InstanceId::new(START),
        project_id: bakery.id,
        observed: Observed::Starting,
        pid: None,
        pid_started: None,
        boot_id: None,
        port: None,
        password_sealed: None,
        created_at: START,
        ended_at: None,
        ending: None,
    };
    instance::insert(&mut write, &agent, ada.id).await.unwrap();
    let process = Instance { pid: Some(7), port: Some(4096), password_sealed: Some(vec![1]), ..agent.clone() };
    instance::set_process(&mut write, &process).await.unwrap();
    instance::observe(&mut write, agent.id, Observed::Healthy).await.unwrap();
    let main = key(ada.id, "main");
    connection::insert(&mut write, &main, None).await.unwrap();
    let handed = Delivery {
        id: DeliveryId::new(START),
        instance_id: agent.id,
        connection_id: main.id,
        provider_id: "anthropic".to_owned(),
        version: 1,
        mode: DeliveryMode::Direct,
        status: DeliveryStatus::Pending,
        reason: None,
        updated_at: START,
    };
    delivery::upsert(&mut write, &handed, ada.id).await.unwrap();
    let handed = Delivery { status: DeliveryStatus::Delivered, ..handed };
    delivery::upsert(&mut write, &handed, ada.id).await.unwrap();
    delivery::mark_stale(&mut write, main.id, 2).await.unwrap();
    write.commit().await.unwrap();

    let mut write = tx(&bench).await;
    let second = Instance { id: InstanceId::new(LATER), ..agent.clone() };
    assert!(instance::insert(&mut write, &second, ada.id).await.unwrap_err().is_taken());
    drop(write);

    let mut reader = read(&bench).await;
    let slugs = |all: Vec<Project>| all.into_iter().map(|p| p.slug).collect::<Vec<_>>();
    assert_eq!(slugs(project::list(&mut reader, ada.id, None, 9).await.unwrap()), ["bakery", "garden"]);
    let after = Some((LATER, bakery.id));
    assert_eq!(slugs(project::list(&mut reader, ada.id, after, 9).await.unwrap()), ["garden"]);
    assert_eq!(project::find(&mut reader, bakery.id).await.unwrap().unwrap().name, "Bäckerei 🥐");
    assert_eq!(project::find_by_slug(&mut reader, "garden").await.unwrap().unwrap().id, garden.id);
    let both = BTreeSet::from([bakery.id, garden.id]);
    assert_eq!(project::named(&mut reader, &both, ada.id).await.unwrap().len(), 2);
    let live = instance::find_live(&mut reader, bakery.id).await.unwrap().unwrap();
    assert_eq!((live.observed, live.pid, live.port), (Observed::Healthy, Some(7), Some(4096)));
    assert_eq!(live.password_sealed, Some(vec![1]));
    assert_eq!(instance::list_live(&mut reader).await.unwrap().len(), 1);
    assert_eq!(delivery::of_instance(&mut reader, agent.id).await.unwrap()[0].status, DeliveryStatus::Stale);
    assert_eq!(delivery::of_connection(&mut reader, main.id).await.unwrap()[0].0, bakery.id);
    let told = delivery::of_user(&mut reader, ada.id).await.unwrap();
    let told: Vec<_> = told.iter().map(|d| (d.project_id, d.project_name.as_str(), d.is_of_model)).collect();
    assert_eq!(told, [(bakery.id, "Bäckerei 🥐", true)]);
    drop(reader);

    let mut write = tx(&bench).await;
    delivery::end_all(&mut write, agent.id).await.unwrap();
    assert!(instance::end(&mut write, agent.id, "it was stopped").await.unwrap());
    assert!(!instance::end(&mut write, agent.id, "it was stopped").await.unwrap());
    let last = instance::find_last(&mut write, bakery.id).await.unwrap();
    assert_eq!(last, instance::find(&mut write, agent.id).await.unwrap());
    project::delete(&mut write, bakery.id).await.unwrap();
    assert!(instance::find(&mut write, agent.id).await.unwrap().is_none(), "it goes with its project");
    write.commit().await.unwrap();
}

#[tokio::test]
async fn conversations() {
    let bench = Bench::new().await;
    let mut write = tx(&bench).await;
    let (ada, bakery) = owner_and_project(&mut write).await;
    let session =
        Session { id: SessionId::new(START), project_id: bakery.id, agent_session_id: None, created_at: START };
    conversation::insert_session(&mut write, &session, ada.id).await.unwrap();
    conversation::set_agent_session(&mut write, session.id, Some("ses_1")).await.unwrap();
    let prompt = Message {
        id: MessageId::new(START),
        session_id: session.id,
        agent_message_id: "msg_1".to_owned(),
        speaker: Speaker::User,
        state: MessageState::Waiting,
        model: Some(model()),
        connection_id: None,
        failure: None,
        created_at: START,
        completed_at: None,
        parts: Vec::new(),
    };
    conversation::insert_message(&mut write, &prompt, ada.id).await.unwrap();
    let answer = Message {
        id: MessageId::new(LATER),
        agent_message_id: "msg_2".to_owned(),
        speaker: Speaker::Assistant,
        state: MessageState::Streaming,
        model: None,
        ..prompt.clone()
    };
    conversation::insert_message(&mut write, &answer, ada.id).await.unwrap();
    conversation::record_send(&mut write, prompt.id, InstanceId::new(START)).await.unwrap();
    assert!(conversation::mark_sent(&mut write, prompt.id).await.unwrap());
    assert!(!conversation::mark_sent(&mut write, prompt.id).await.unwrap());
    let part = Part {
        id: PartId::new(START),
        agent_part_id: "prt_1".to_owned(),
        message_id: answer.id,
        position: 0,
        kind: PartKind::Text,
        text: Some("Hel".to_owned()),
        tool: None,
    };
    conversation::upsert_part(&mut write, &part, ada.id).await.unwrap();
    // What a program prints may hold a NUL, for which PostgreSQL has no place.
    let whole = Part { text: Some("Hello\0!".to_owned()), ..part.clone() };
    conversation::upsert_part(&mut write, &whole, ada.id).await.unwrap();
    let done = Message { state: MessageState::Complete, completed_at: Some(LATER), ..answer.clone() };
    conversation::update_message(&mut write, &done).await.unwrap();
    write.commit().await.unwrap();

    let mut reader = read(&bench).await;
    let found = conversation::find_session(&mut reader, bakery.id).await.unwrap().unwrap();
    assert_eq!(found.agent_session_id.as_deref(), Some("ses_1"));
    let page = conversation::page(&mut reader, session.id, None, 1).await.unwrap();
    assert_eq!((page.messages[0].id, page.before), (answer.id, Some(2)));
    assert_eq!(page.messages[0].parts[0].text.as_deref(), Some("Hello\u{fffd}!"));
    let page = conversation::page(&mut reader, session.id, page.before, 9).await.unwrap();
    assert_eq!((page.messages.len(), page.messages[0].id, page.before), (1, prompt.id, None));
    assert!(conversation::find_send(&mut reader, prompt.id).await.unwrap().is_some());
    let by_agent = conversation::find_by_agent_id(&mut reader, session.id, "msg_2").await.unwrap();
    assert_eq!(by_agent, conversation::find_message(&mut reader, answer.id).await.unwrap());
    let sent = conversation::in_states(&mut reader, session.id, &[MessageState::Sent]).await.unwrap();
    assert_eq!(sent.len(), 1);
    assert_eq!(conversation::last(&mut reader, session.id).await.unwrap().unwrap().id, answer.id);
    drop(reader);

    let mut write = tx(&bench).await;
    conversation::delete_part(&mut write, &part).await.unwrap();
    conversation::delete_message(&mut write, prompt.id).await.unwrap();
    write.commit().await.unwrap();
}

#[tokio::test]
async fn custom_providers_settings_and_what_was_brought_over() {
    let bench = Bench::new().await;
    let mut write = tx(&bench).await;
    let (ada, bakery) = owner_and_project(&mut write).await;
    let custom_model = |id: &str, context| CustomModel { id: id.to_owned(), name: None, context, output: None };
    let mut custom = CustomProvider {
        id: "local".to_owned(),
        user_id: ada.id,
        name: "Local".to_owned(),
        base_url: "http://127.0.0.1:1/v1".to_owned(),
        models: vec![custom_model("b", Some(8_192)), custom_model("a", None)],
        created_at: START,
        updated_at: START,
    };
    custom_provider::insert(&mut write, &custom).await.unwrap();
    custom.models.pop();
    custom.name = "Mine".to_owned();
    custom_provider::update(&mut write, &custom).await.unwrap();
    assert_eq!(custom_provider::list(&mut write).await.unwrap(), std::slice::from_ref(&custom));
    custom_provider::delete(&mut write, &custom.id).await.unwrap();
    setting::set(&mut write, "name", "one").await.unwrap();
    setting::set(&mut write, "name", "two").await.unwrap();
    let noun = bakery.id.to_string();
    imported::insert(&mut write, "old", ImportedKind::Project, "7", &noun).await.unwrap();
    write.commit().await.unwrap();

    let mut reader = read(&bench).await;
    assert_eq!(setting::find(&mut reader, "name").await.unwrap().as_deref(), Some("two"));
    assert_eq!(setting::find(&mut reader, "other").await.unwrap(), None);
    assert_eq!(imported::of_source(&mut reader, "old").await.unwrap()[0].noun_id, noun);
    drop(reader);
    let mut write = tx(&bench).await;
    let again = imported::insert(&mut write, "old", ImportedKind::Project, "7", &noun).await;
    assert!(again.unwrap_err().is_taken());
    drop(write);
    // What failed has left nothing behind, also not for the next transaction.
    assert_eq!(project::find(&mut read(&bench).await, bakery.id).await.unwrap(), Some(bakery));
}
