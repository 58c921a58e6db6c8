//! What other nodes did: asked for once in a while, and sooner after a NOTIFY. Notifications are sent by a task of their own, never in the transaction they
//! are about: a NOTIFY at commit makes all commits of the database wait for each other.

use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(crate) struct Hints {
    for_others: Notify,
    for_us: Notify,
}

impl Hints {
    /// After a commit that other nodes should know of: backlog that is not ours to serve, changes of the catalogue, tasks. Cheap: many are told as one.
    pub(crate) fn others_should_look(&self) {
        self.for_others.notify_one();
    }

    /// Asks the database what others did, without waiting for the next time.
    pub(crate) fn look_now(&self) {
        self.for_us.notify_one();
    }
}
