//! The data directory, the database and the master key.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
};

use camino::Utf8Path;
use doce_store::{Database, OpenError as StoreOpenError, Store, setting, user};
use doce_vault::{MasterKey, MasterKeyError};

use super::{Finding, Surroundings};
use crate::{KeyPlace, chain, keys::IN_FORCE, layout::Layout};

/// Entries of the data directory that are looked at.
const ENTRIES_MAX: usize = 1000;

/// Looks at the directory itself: there, ours, and nobody else's.
pub(super) fn directory(around: &Surroundings) -> Finding {
    const CHECK: &str = "data";
    let path = &around.data_dir;
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return absent(path),
        Err(error) => {
            let text = format!("{path} can't be looked at: {error}");
            return Finding::problem(CHECK, text, "sudo -u doce doce doctor, as the user that doce runs as");
        }
    };
    if !found.is_dir() {
        return Finding::problem(
            CHECK,
            format!("{path} is not a directory"),
            "DOCE_DATA_DIR=ANOTHER-DIRECTORY doce serve",
        );
    }
    let uid = rustix::process::geteuid().as_raw();
    if uid != 0 && found.uid() != uid {
        let text = format!("{path} belongs to the user {}, and doce runs as {uid}", found.uid());
        let repair = format!(
            "sudo -u '#{}' doce doctor; or, if it is meant to be yours, sudo chown -R \"$USER\" {path}",
            found.uid()
        );
        return Finding::problem(CHECK, text, repair);
    }
    if rustix::fs::access(path.as_std_path(), rustix::fs::Access::WRITE_OK).is_err() {
        let text = format!("{path} can't be written to");
        return Finding::problem(CHECK, text, format!("chmod u+rwx {path}"));
    }
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let text = format!("{path} can be entered by others (mode {mode:o})");
        return Finding::warning(CHECK, text, format!("chmod 700 {path}"));
    }
    if let Some((name, owner)) = foreign_entry(path, found.uid()) {
        let text = format!("{path}/{name} belongs to the user {owner}, and the directory to {}", found.uid());
        return Finding::problem(CHECK, text, format!("sudo chown -R --reference={path} {path}"));
    }
    Finding::ok(CHECK, format!("{path} is its owner's alone"))
}

/// Finds something directly in the directory that belongs to another user than it does: `sudo doce` leaves such.
fn foreign_entry(path: &Utf8Path, uid: u32) -> Option<(String, u32)> {
    let entries = path.read_dir_utf8().ok()?.filter_map(Result::ok);
    let owners = entries.filter_map(|entry| Some((entry.file_name().to_owned(), entry.metadata().ok()?.uid())));
    owners.take(ENTRIES_MAX).find(|(_, owner)| *owner != uid)
}

fn absent(path: &Utf8Path) -> Finding {
    let above = path.ancestors().skip(1).find(|above| above.exists()).unwrap_or(Utf8Path::new("/"));
    if rustix::fs::access(above.as_std_path(), rustix::fs::Access::WRITE_OK).is_err() {
        let text = format!("{path} is not there, and {above} can't be written to");
        return Finding::problem("data", text, format!("sudo install -d -m 700 -o \"$USER\" {path}"));
    }
    Finding::ok("data", format!("{path} is not there yet: the first start makes it"))
}

/// Looks at the database, and whether the master key is the one that what is stored was sealed with.
pub(super) async fn database_and_key(around: &Surroundings) -> Vec<Finding> {
    let database = Layout::new(&around.data_dir).database(around.database_url.as_ref());
    // A server that can't be asked is told of when it is opened.
    let mut several = false;
    let (finding, in_force) = if database.is_there().await.unwrap_or(true) {
        match look_into(&database).await {
            Ok(found) => {
                several = around.unsandboxed && found.users > 1;
                (Finding::ok("database", format!("{database} opens")), found.in_force)
            }
            Err(error) => {
                let repair = match &error {
                    StoreOpenError::Newer { .. } => "sudo install -m 755 THE-NEWER-DOCE /usr/local/bin/doce".to_owned(),
                    StoreOpenError::Older { .. } => "doce serve".to_owned(),
                    StoreOpenError::Full { .. } => format!("df -h {}", around.data_dir),
                    StoreOpenError::Locked { .. } => format!("fuser -v {database}"),
                    StoreOpenError::Damaged { .. } => "doce restore BACKUP --data-dir ANOTHER-DIRECTORY".to_owned(),
                    StoreOpenError::Connect { .. } | StoreOpenError::InUse { .. } | StoreOpenError::Migrate(_) => {
                        match &around.database_url {
                            Some(url) => format!("psql {url}"),
                            None => format!("ls -l {database}"),
                        }
                    }
                };
                (Finding::problem("database", chain(&error), repair), None)
            }
        }
    } else {
        (Finding::ok("database", "there is none yet: the first start makes it"), None)
    };
    let mut findings = vec![finding, key(around, in_force.as_deref())];
    if several {
        findings.push(Finding::problem(
            "accounts",
            "there is more than one account, and without a sandbox one could read another's keys: the server won't start",
            "unset DOCE_UNSANDBOXED",
        ));
    }
    findings
}

/// What a database tells.
#[derive(Default)]
struct Found {
    /// The master key that it was sealed with.
    in_force: Option<String>,
    users: i64,
}

async fn look_into(database: &Database) -> Result<Found, StoreOpenError> {
    let store = Store::open_to_read(database).await?;
    let found = match store.read().await {
        Ok(mut read) => Found {
            in_force: setting::find(&mut read, IN_FORCE).await.ok().flatten(),
            users: user::count(&mut read).await.unwrap_or_default(),
        },
        Err(_) => Found::default(),
    };
    store.close().await;
    Ok(found)
}

fn key(around: &Surroundings, in_force: Option<&str>) -> Finding {
    const CHECK: &str = "master key";
    let place = KeyPlace {
        data_dir: around.data_dir.clone(),
        database_url: around.database_url.clone(),
        master_key_file: around.master_key_file.clone(),
    };
    let file = place.key();
    match (MasterKey::read(file.as_std_path()), in_force) {
        (Ok(Some(key)), Some(id)) if key.id() == id => Finding::ok(CHECK, format!("{file} is the one in use")),
        (Ok(Some(_)), Some(id)) if place.next().exists() => Finding::warning(
            CHECK,
            format!("a change of the master key to {id} is not finished"),
            "doce keys rotate, while the server doesn't run",
        ),
        (Ok(Some(key)), Some(id)) => Finding::problem(
            CHECK,
            format!("{file} is {}, and what is stored was sealed with {id}: no connected key can be read", key.id()),
            format!("install -m 600 COPY-OF-THE-KEY {file}"),
        ),
        (Ok(Some(_)), None) => Finding::ok(CHECK, format!("{file} is there")),
        (Ok(None), Some(id)) => Finding::problem(
            CHECK,
            format!("{file} is gone: no connected key can be read without the key {id}"),
            format!("install -m 600 COPY-OF-THE-KEY {file}"),
        ),
        (Ok(None), None) => Finding::ok(CHECK, format!("{file} is not there yet: the first start makes it")),
        (Err(error), _) => {
            let is_exposed = matches!(error, MasterKeyError::Exposed { .. });
            let repair =
                if is_exposed { format!("chmod 600 {file}") } else { format!("install -m 600 COPY-OF-THE-KEY {file}") };
            Finding::problem(CHECK, chain(&error), repair)
        }
    }
}
