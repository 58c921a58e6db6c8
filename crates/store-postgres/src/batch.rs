//! Group commit: whoever comes while a transaction is under way waits for the next, which takes all of them.

use hookpost_store::Unavailable;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::error::closed;

/// Commands that wait for the next group.
#[derive(Debug)]
pub(crate) struct Waiting<C> {
    sender: mpsc::Sender<C>,
    receiver: Mutex<Option<mpsc::Receiver<C>>>,
}

impl<C> Waiting<C> {
    pub(crate) fn new(capacity: usize) -> Self {
        let (sender, receiver) = mpsc::channel(capacity);
        Self { sender, receiver: Mutex::new(Some(receiver)) }
    }

    /// Waits for a place.
    pub(crate) async fn push(&self, command: C) -> Result<(), Unavailable> {
        self.sender.send(command).await.map_err(|_| closed())
    }
}
