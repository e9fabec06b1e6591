//! What is told to browsers as it happens.
//!
//! One bus for the whole server: every event has a number, the last [`RING`] are kept, and a subscriber says which
//! user it is and from which number on it wants to know. What a user may not see never reaches their subscription.
//! Nothing is written to disk here: after a restart the boot differs, and a browser reads everything anew.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use doce_model::{ConnectionId, Job, Message, MessageId, Part, PartId, ProjectId, UserId};
use tokio::sync::broadcast;

use crate::{
    import::ImportRun,
    keys::live::Rotation,
    logins::AttemptView,
    program::ProgramState,
    queue::QueueView,
    views::{ConnectionView, ModelPreferencesView, ProjectView},
};

/// Events kept for browsers that come back.
pub const RING: usize = 8192;

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Change {
    /// A Project is new or different.
    Project(Box<ProjectView>),
    /// A Project is gone.
    ProjectDeleted(ProjectId),
    /// A Connection is new or different.
    Connection(Box<ConnectionView>),
    /// A Connection is gone.
    ConnectionDeleted(ConnectionId),
    /// A Job is new or different.
    Job(Box<Job>),
    /// A Message is new or different; its Parts are told apart.
    Message(ProjectId, Box<Message>),
    /// A Message is gone.
    MessageDeleted(ProjectId, MessageId),
    /// A Part is new or different, whole.
    Part(ProjectId, Box<Part>),
    /// Words were added to a Part.
    Delta {
        /// The Project.
        project_id: ProjectId,
        /// The Message.
        message_id: MessageId,
        /// The Part.
        part_id: PartId,
        /// Length of the Part's text before, in UTF-16 units, as browsers count.
        offset: usize,
        /// The words.
        delta: String,
    },
    /// Files of a Workspace changed.
    Files(ProjectId),
    /// The user thinks otherwise of models.
    ModelPreferences(Box<ModelPreferencesView>),
    /// A login at a Provider came to its end.
    Login(Box<AttemptView>),
    /// An import is further, or over. Its lines are not in it.
    Import(Box<ImportRun>),
    /// A change of the master key is further, or over. Admins are told.
    Rotation(Rotation),
    /// `OpenCode` is further, there, or failed. Everybody is told.
    Program(ProgramState),
    /// The queue was paused or resumed. Everybody is told.
    Queue(QueueView),
}

impl Change {
    /// Returns the conversation that this belongs to, if it is only for those who watch that.
    pub fn conversation(&self) -> Option<ProjectId> {
        match self {
            Self::Project(_)
            | Self::ProjectDeleted(_)
            | Self::Connection(_)
            | Self::ConnectionDeleted(_)
            | Self::Job(_)
            | Self::ModelPreferences(_)
            | Self::Login(_)
            | Self::Import(_)
            | Self::Rotation(_)
            | Self::Program(_)
            | Self::Queue(_) => None,
            Self::Message(id, _) | Self::MessageDeleted(id, _) | Self::Part(id, _) | Self::Files(id) => Some(*id),
            Self::Delta { project_id, .. } => Some(*project_id),
        }
    }
}

/// A numbered event and whose it is.
#[derive(Debug)]
pub struct Event {
    /// Its number, one more than the one before.
    pub number: u64,
    /// Who may see it; `None` is everybody.
    pub user_id: Option<UserId>,
    /// What happened.
    pub change: Change,
}

impl Event {
    /// Returns whether a user may see it.
    pub fn is_for(&self, user_id: UserId) -> bool {
        self.user_id.is_none_or(|whose| whose == user_id)
    }
}

/// Where events are published and subscribed to.
#[derive(Debug, Clone)]
pub struct Bus {
    boot: Arc<str>,
    state: Arc<Mutex<State>>,
    sender: broadcast::Sender<Arc<Event>>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    ring: VecDeque<Arc<Event>>,
}

/// What a subscriber gets first, and then.
#[derive(Debug)]
pub struct Subscription {
    /// Whether the ring no longer holds what the subscriber asked for: it must read everything anew.
    pub reset: bool,
    /// The number of the newest event before the live ones.
    pub last: u64,
    /// What was missed, oldest first.
    pub missed: Vec<Arc<Event>>,
    /// What happens from now on. A subscriber that lags is told so by the channel.
    pub live: broadcast::Receiver<Arc<Event>>,
}

impl Bus {
    /// Makes a bus. `boot` names this run of the server.
    pub fn new(boot: &str) -> Self {
        Self { boot: boot.into(), state: Arc::default(), sender: broadcast::channel(RING).0 }
    }

    /// Tells the user whose it is.
    pub fn publish(&self, user_id: UserId, change: Change) {
        self.send(Some(user_id), change);
    }

    /// Tells everybody.
    pub fn publish_to_all(&self, change: Change) {
        self.send(None, change);
    }

    fn send(&self, user_id: Option<UserId>, change: Change) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.last += 1;
        let event = Arc::new(Event { number: state.last, user_id, change });
        if state.ring.len() == RING {
            state.ring.pop_front();
        }
        state.ring.push_back(Arc::clone(&event));
        // Sent under the lock, so that the order of numbers is the order of arrival. Nobody listening is no error.
        drop(self.sender.send(event));
    }

    /// Subscribes from after the event `last_seen`, an id as [`Bus::id`] writes it.
    pub fn subscribe(&self, last_seen: Option<&str>) -> Subscription {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let live = self.sender.subscribe();
        let last = state.last;
        let Some(seen) = last_seen else {
            return Subscription { reset: false, last, missed: Vec::new(), live };
        };
        let number = seen
            .rsplit_once('-')
            .filter(|(boot, _)| *boot == &*self.boot)
            .and_then(|(_, number)| number.parse::<u64>().ok())
            .filter(|number| *number <= last);
        let oldest = state.ring.front().map_or(last + 1, |event| event.number);
        match number {
            Some(number) if number + 1 >= oldest => {
                let missed = state.ring.iter().filter(|event| event.number > number).cloned().collect();
                Subscription { reset: false, last, missed, live }
            }
            Some(_) | None => Subscription { reset: true, last, missed: Vec::new(), live },
        }
    }

    /// Writes an event's number as the id that a browser is given.
    pub fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.boot)
    }

    /// Returns the id of the newest event.
    pub fn last_id(&self) -> String {
        self.id(self.state.lock().unwrap_or_else(PoisonError::into_inner).last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doce_model::Ms;

    fn bus_with(count: usize) -> Bus {
        let bus = Bus::new("b");
        let user = UserId::new(Ms(1));
        for _ in 0..count {
            bus.publish(user, Change::ProjectDeleted(ProjectId::new(Ms(1))));
        }
        bus
    }

    #[test]
    fn a_subscriber_that_comes_back_gets_what_it_missed() {
        let bus = bus_with(5);
        let back = bus.subscribe(Some("b-3"));
        assert!(!back.reset);
        assert_eq!(back.missed.iter().map(|e| e.number).collect::<Vec<_>>(), [4, 5]);
        assert!(bus.subscribe(Some("b-5")).missed.is_empty());
    }

    #[test]
    fn an_id_that_the_ring_no_longer_holds_resets() {
        let bus = bus_with(RING + 10);
        assert!(bus.subscribe(Some("b-9")).reset);
        assert!(!bus.subscribe(Some("b-10")).reset);
        assert_eq!(bus.subscribe(Some("b-10")).missed.len(), RING);
    }

    #[test]
    fn what_is_everybodys_is_for_each_and_what_is_somebodys_is_not() {
        let bus = bus_with(1);
        bus.publish_to_all(Change::Program(ProgramState::Checking));
        let missed = bus.subscribe(Some("b-0")).missed;
        let stranger = UserId::new(Ms(2));
        assert_eq!(missed.iter().map(|event| event.is_for(stranger)).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn an_id_of_another_boot_or_from_the_future_resets() {
        let bus = bus_with(5);
        for id in ["a-3", "b-6", "b-", "nonsense", ""] {
            assert!(bus.subscribe(Some(id)).reset, "{id}");
        }
    }

    #[test]
    fn no_event_falls_between_what_was_missed_and_what_is_live() {
        let bus = bus_with(2);
        let mut subscription = bus.subscribe(Some("b-1"));
        bus.publish(UserId::new(Ms(1)), Change::ProjectDeleted(ProjectId::new(Ms(1))));
        assert_eq!(subscription.missed.len(), 1);
        assert_eq!(subscription.live.try_recv().unwrap().number, 3);
    }
}
