//! The Projects of an installation: which may be taken, where their sources lie, and which model they used.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::Arc,
};

use camino::Utf8Path;
use doce_model::ModelRef;
use secrecy::ExposeSecret as _;

use crate::{
    Credential, Finding, Key, Owner, Project, Sources, Subject, auth_file,
    beneath::{Directory, Kind, Unusable},
    database::{Row, Tables},
    env,
    people::{OPENROUTER, moment},
};

/// Where Projects are, in the data directory.
const FOLDER: &str = "projects";
/// What stands before that in a row: relative, or the container's own path.
const BEFORE: [&str; 3] = ["data/", "./data/", "/app/data/"];
/// Most bytes of a compose file or an `opencode.json` that are read.
const CONFIG_MAX: u64 = 256 * 1024;
/// The volume's name in a compose file.
const VOLUME_LINE: &str = "project_files:";

/// What Projects are read from.
pub(crate) struct Reader<'a> {
    pub(crate) data: &'a Arc<Directory>,
    /// Where Docker keeps volumes.
    pub(crate) volumes: &'a Utf8Path,
    pub(crate) tables: &'a Tables,
    pub(crate) findings: &'a mut Vec<Finding>,
}

/// Projects, and the keys that lay in their files.
#[derive(Default)]
pub(crate) struct Read {
    pub(crate) projects: Vec<Project>,
    /// Of those that are taken.
    pub(crate) keys: Vec<Key>,
    /// Of those that were deleted.
    pub(crate) deleted_keys: Vec<Key>,
    /// What a Project's own file says of its model, by the Project's id.
    configured: HashMap<String, String>,
}

impl Reader<'_> {
    /// Reads the Projects, oldest first, without their models.
    pub(crate) fn read(&mut self) -> Read {
        let mut read = Read::default();
        let mut rows: Vec<&Row> = self.tables.rows("projects").iter().collect();
        rows.sort_by_key(|row| (moment(row, "created_at").map_or(i64::MAX, |at| at.0), row.number));
        let (mut ids, mut folders) = (HashSet::new(), HashSet::new());
        for row in rows {
            let name = row.text("name").ok().flatten().map_or_else(|| format!("row {}", row.number), str::to_owned);
            if let Err(finding) = self.take(row, &name, &mut ids, &mut folders, &mut read) {
                self.findings.push(finding);
            }
        }
        read
    }

    fn take(
        &mut self,
        row: &Row,
        name: &str,
        ids: &mut HashSet<String>,
        folders: &mut HashSet<String>,
        read: &mut Read,
    ) -> Result<(), Finding> {
        let unreadable = |reason: String| Finding::unreadable(Subject::Project, name, reason);
        let id = row.required("id").map_err(unreadable)?;
        let owner_id = row.required("owner_user_id").map_err(unreadable)?.to_owned();
        if !is_id(id) {
            return Err(Finding::refused(Subject::Project, name, "its id is none that doce.dev makes"));
        }
        if !ids.insert(id.to_owned()) {
            return Err(Finding::refused(Subject::Project, name, "another project has the same id"));
        }
        let deleted = row.is_set("deleted_at") || row.text("status") == Ok(Some("deleting"));
        let folder = self.folder(row);
        if let Ok(folder) = &folder {
            let key = self.env_key(id, &owner_id, name, folder);
            let keys = if deleted { &mut read.deleted_keys } else { &mut read.keys };
            keys.extend(key);
        }
        if deleted {
            return Err(Finding::left(Subject::Project, name, "it was deleted in doce.dev"));
        }
        let refused = |reason: String| Finding::refused(Subject::Project, name, reason);
        let folder = folder.map_err(refused)?;
        if !folders.insert(folder.clone()) {
            return Err(refused(format!("its folder `{folder}` is another project's")));
        }
        let sources = self.sources(id, name, &folder)?;
        self.release(row, name, id, &folder);
        if let Some(model) = self.configured_model(name, &sources) {
            read.configured.insert(id.to_owned(), model);
        }
        let text = |column| row.text(column).ok().flatten().unwrap_or_default().to_owned();
        read.projects.push(Project {
            id: id.to_owned(),
            owner_id,
            name: text("name"),
            slug: text("slug"),
            prompt: text("prompt"),
            created_at: moment(row, "created_at"),
            model: None,
            sources,
        });
        Ok(())
    }

    /// Returns a Project's folder beneath the data directory. Whatever leads elsewhere is refused.
    fn folder(&self, row: &Row) -> Result<String, String> {
        let path = row.required("path_on_disk")?;
        let own = format!("{}/", self.data.path());
        let rest = BEFORE.into_iter().chain([own.as_str()]).find_map(|before| path.strip_prefix(before));
        let folder =
            rest.and_then(|rest| rest.strip_prefix(FOLDER)?.strip_prefix('/')).map(|f| f.trim_end_matches('/'));
        match folder {
            Some(folder) if is_id(folder) => Ok(format!("{FOLDER}/{folder}")),
            Some(_) | None => Err(format!("its folder `{}` is not one beneath `data/projects`", crate::plain(path))),
        }
    }

    /// Finds a Project's sources.
    fn sources(&self, id: &str, name: &str, folder: &str) -> Result<Sources, Finding> {
        match self.data.kind(Path::new(folder)) {
            Ok(Kind::Directory) => {}
            Ok(other) => {
                let reason = format!("its folder `{folder}` is {}", other.words());
                return Err(Finding::refused(Subject::Project, name, reason));
            }
            Err(Unusable::Absent) => {
                let reason = format!("its folder `{folder}` is not there, so there are no files to bring over");
                return Err(Finding::unreadable(Subject::Project, name, reason));
            }
            Err(e) => {
                return Err(Finding::unreadable(Subject::Project, name, format!("its folder `{folder}`: {e}")));
            }
        }
        if !self.is_in_volume(folder) {
            return Ok(Sources::new(Arc::clone(self.data), layout(self.data, folder)));
        }
        let volume = format!("doce_{id}_data");
        let path = self.volumes.join(&volume).join("_data");
        match Directory::open(&path) {
            Ok(directory) => {
                let base = layout(&directory, "");
                Ok(Sources::new(Arc::new(directory), base))
            }
            Err(e) => {
                let why = match e.kind() {
                    std::io::ErrorKind::NotFound => "it is not there".to_owned(),
                    _ => crate::beneath::reason(&e),
                };
                let reason = format!(
                    "its files are in the Docker volume `{volume}`, and `{path}` can't be read: {why}. Run this as a \
                     user who can, or copy the volume and name the folder of the copies with --volumes"
                );
                Err(Finding::unreadable(Subject::Project, name, reason))
            }
        }
    }

    fn is_in_volume(&self, folder: &str) -> bool {
        let env = self.read_text(&format!("{folder}/.env"), env::ENV_MAX);
        if env.is_some_and(|text| env::value(&text, env::VOLUME).is_some()) {
            return true;
        }
        let names = self.data.list(folder).unwrap_or_default();
        names.iter().filter_map(|name| name.to_str()).filter(|name| is_yaml(name)).any(|name| {
            let text = self.read_text(&format!("{folder}/{name}"), CONFIG_MAX);
            text.is_some_and(|text| text.lines().any(|line| line.trim() == VOLUME_LINE))
        })
    }

    fn read_text(&self, path: &str, limit: u64) -> Option<String> {
        let bytes = self.data.read(path, limit).ok().flatten()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn env_key(&mut self, id: &str, owner_id: &str, name: &str, folder: &str) -> Option<Key> {
        let mut paths = [format!("{folder}/.env"), format!("{folder}/preview/.env")].into_iter();
        let mut found = None;
        paths.find(|path| match self.data.read(path, env::ENV_MAX) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned();
                found = env::value(&text, env::KEY).map(|value| (path.clone(), auth_file::clean(value)));
                found.is_some()
            }
            Err(Unusable::Absent | Unusable::Leaves) => false,
            Err(e) => {
                self.findings.push(Finding::unreadable(Subject::File, path, e.to_string()));
                false
            }
        });
        match found? {
            (path, Ok(key)) => Some(Key {
                id: format!("env/{id}"),
                owner: Owner::User(owner_id.to_owned()),
                projects: vec![id.to_owned()],
                provider_id: OPENROUTER.to_owned(),
                credential: Credential::Api { key, metadata: std::collections::BTreeMap::new() },
                place: format!("`.env` of {} ({path})", crate::plain(name)),
            }),
            (path, Err(reason)) => {
                self.findings.push(Finding::refused(Subject::Key, OPENROUTER, format!("{reason} (in {path})")));
                None
            }
        }
    }

    /// Says that a published release stays.
    fn release(&mut self, row: &Row, name: &str, id: &str, folder: &str) {
        let of_column = row.text("production_hash").ok().flatten().map(str::to_owned);
        let linked = [format!("{folder}/production/current"), format!("productions/{id}/current")]
            .iter()
            .find_map(|link| self.data.last_of_link(Path::new(link)));
        if let Some(live) = linked.or(of_column).filter(|live| !live.trim().is_empty()) {
            let reason = format!("release {} stays where it is: doce does not publish yet", crate::plain(&live));
            self.findings.push(Finding::left(Subject::Release, name, reason));
        }
    }

    fn configured_model(&mut self, name: &str, sources: &Sources) -> Option<String> {
        match sources.read("opencode.json", CONFIG_MAX) {
            Ok(None) => None,
            Ok(Some(bytes)) => match serde_json::from_slice::<serde_json::Value>(&bytes) {
                Ok(config) => config["model"].as_str().map(str::to_owned),
                Err(e) => {
                    let reason = format!("it is not JSON (line {}), so its model is not known", e.line());
                    let file = format!("opencode.json of {name}");
                    self.findings.push(Finding::unreadable(Subject::File, file, reason));
                    None
                }
            },
            Err(e) => {
                let file = format!("opencode.json of {name}");
                self.findings.push(Finding::unreadable(Subject::File, file, e.to_string()));
                None
            }
        }
    }
}

/// Finds which model each Project used, once it is known which Providers the installation has keys for.
pub(crate) fn settle_models(read: &mut Read, tables: &Tables, default_models: &HashMap<&str, &str>, keys: &[Key]) {
    let only_openrouter = has_only_openrouter(keys);
    let rows: HashMap<&str, &Row> =
        tables.rows("projects").iter().filter_map(|row| Some((row.text("id").ok().flatten()?, row))).collect();
    for project in &mut read.projects {
        let Some(row) = rows.get(project.id.as_str()) else { continue };
        let column = |column| row.text(column).ok().flatten().map(str::trim).filter(|text| !text.is_empty());
        let pair = column("current_model_provider_id").zip(column("current_model_id"));
        let named = || {
            column("current_model")
                .or_else(|| column("model"))
                .or_else(|| read.configured.get(&project.id).map(String::as_str))
                .or_else(|| column("preferred_model"))
                .or_else(|| default_models.get(project.owner_id.as_str()).copied())
        };
        project.model = match pair {
            Some((provider_id, model_id)) => model_ref(provider_id, model_id),
            None => named().and_then(|text| parse_model(text.trim(), only_openrouter)),
        };
    }
}

/// Tells whether `OpenRouter` is the only Provider that the installation has a key of: then a bare vendor before a
/// model's name is none of its own.
pub(crate) fn has_only_openrouter(keys: &[Key]) -> bool {
    !keys.is_empty() && keys.iter().all(|key| key.provider_id == OPENROUTER)
}

/// Reads a model's name: `provider/model`, or only what `OpenRouter` calls it.
pub(crate) fn parse_model(text: &str, only_openrouter: bool) -> Option<ModelRef> {
    match text.split_once('/') {
        Some((provider_id, model_id)) if provider_id == OPENROUTER || !only_openrouter => {
            model_ref(provider_id, model_id)
        }
        Some(_) | None => model_ref(OPENROUTER, text),
    }
}

pub(crate) fn model_ref(provider_id: &str, model_id: &str) -> Option<ModelRef> {
    let is_model = (1..=200).contains(&model_id.len()) && model_id.bytes().all(|b| b.is_ascii_graphic());
    (auth_file::is_provider_id(provider_id) && is_model)
        .then(|| ModelRef { provider_id: provider_id.to_owned(), model_id: model_id.to_owned() })
}

/// Joins the keys of files with those that are known: one that is the same only names its Projects there.
pub(crate) fn merge_keys(known: &mut Vec<Key>, found: Vec<Key>) {
    for key in found {
        let same = known.iter_mut().find(|other| {
            other.owner == key.owner
                && other.provider_id == key.provider_id
                && is_same(&other.credential, &key.credential)
        });
        match same {
            Some(other) => other.projects.extend(key.projects),
            None => known.push(key),
        }
    }
}

fn is_same(a: &Credential, b: &Credential) -> bool {
    match (a, b) {
        (Credential::Api { key: a, .. }, Credential::Api { key: b, .. }) => a.expose_secret() == b.expose_secret(),
        _ => false,
    }
}

/// Returns where in a folder the sources are: in `preview` since the end of January 2026, at the top before.
fn layout(directory: &Directory, folder: &str) -> String {
    let under = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    let preview = under("preview");
    let is_new = directory.is_file(under("preview/package.json"))
        || (!directory.is_file(under("package.json")) && directory.is_directory(&preview));
    if is_new { preview } else { folder.to_owned() }
}

fn is_yaml(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| matches!(extension, "yml" | "yaml"))
}

/// The rule that the ids of doce.dev keep, so that one can be part of a path.
fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}
