//! What an installation of doce.dev holds, as plain data.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use doce_model::{ModelRef, Ms};
use secrecy::SecretString;

use crate::{Era, Finding, Sources};

/// An installation, as far as it could be read.
#[derive(Debug)]
pub struct Installation {
    /// Names this installation and no other, wherever its directory lies.
    pub source: String,
    /// Where it was read: the directory that holds the database.
    pub directory: Utf8PathBuf,
    /// How old its schema is; none if there is no readable database.
    pub era: Option<Era>,
    /// The people, oldest first.
    pub users: Vec<User>,
    /// The keys, in the order in which they were looked for.
    pub keys: Vec<Key>,
    /// The Projects that may be taken, oldest first.
    pub projects: Vec<Project>,
    /// What is not simply taken.
    pub findings: Vec<Finding>,
}

/// A person.
#[derive(Debug)]
pub struct User {
    /// 32 hexadecimal digits, where nobody touched it.
    pub id: String,
    /// The name they signed in with. Another user may have the same one.
    pub username: String,
    /// argon2id in PHC form, or what Node's scrypt made, or neither.
    pub password_hash: SecretString,
    /// When the account was made, if that can be read.
    pub created_at: Option<Ms>,
    /// The model that their projects began with.
    pub preferred: Option<ModelRef>,
    /// The models that they marked.
    pub favourites: Vec<ModelRef>,
}

/// Whose a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// This user's, by id.
    User(String),
    /// The whole installation's: everybody's agents used it.
    Installation,
}

/// A key, and where it was found.
#[derive(Debug)]
pub struct Key {
    /// Names it within the installation: a second look finds the same one.
    pub id: String,
    /// Whose it is.
    pub owner: Owner,
    /// The Projects whose files held it, by id.
    pub projects: Vec<String>,
    /// The Provider, by `OpenCode`'s id.
    pub provider_id: String,
    /// What it is.
    pub credential: Credential,
    /// Where it was found, in words.
    pub place: String,
}

/// What `OpenCode` can hold for a Provider.
#[derive(Debug)]
pub enum Credential {
    /// A key.
    Api {
        /// The key, cleaned.
        key: SecretString,
        /// The answers to the Provider's questions.
        metadata: BTreeMap<String, String>,
    },
    /// A login.
    OAuth {
        /// Gets new access tokens.
        refresh: SecretString,
        /// Is sent to the Provider until it expires.
        access: SecretString,
        /// When it expires, in milliseconds.
        expires: Option<i64>,
        /// What else the login needs and isn't secret, as `accountId` or `enterpriseUrl`.
        details: BTreeMap<String, String>,
    },
    /// A token for a document that names a provider. What stands for the Provider's id is an address.
    WellKnown,
}

/// A Project.
#[derive(Debug)]
pub struct Project {
    /// 24 hexadecimal digits, where nobody touched it.
    pub id: String,
    /// Its owner, by id.
    pub owner_id: String,
    /// What its owner called it.
    pub name: String,
    /// Its name in addresses.
    pub slug: String,
    /// What was first asked for.
    pub prompt: String,
    /// When it was made, if that can be read.
    pub created_at: Option<Ms>,
    /// The model that it last used, if any place says so.
    pub model: Option<ModelRef>,
    /// Its files.
    pub sources: Sources,
}
