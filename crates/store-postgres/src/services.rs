//! The tasks of one node: each runs until it is told to finish, and all of them end with the store.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::shared::Shared;
use crate::{accept, changes, counts, feed, hints, node, partitions, record, write_down};

/// Dropped, they end where they stand.
#[derive(Debug)]
pub(crate) struct Services {
    /// Those that write, ask and tidy up; told first, and allowed to finish what they have.
    work: Group,
    /// Without it the others would lose what they hold while they finish.
    heartbeat: Group,
}

impl Services {
    pub(crate) fn start(shared: &Arc<Shared>) -> Self {
        let mut work = Group::default();
        work.run(accept::serve(Arc::clone(shared), work.token.clone()));
        work.run(record::serve(Arc::clone(shared), work.token.clone()));
        work.run(changes::serve(Arc::clone(shared), work.token.clone()));
        work.run(hints::serve(Arc::clone(shared), work.token.clone()));
        work.run(hints::listen(Arc::clone(shared), work.token.clone()));
        work.run(hints::notify(Arc::clone(shared), work.token.clone()));
        work.run(write_down::serve(Arc::clone(shared), work.token.clone()));
        work.run(counts::serve(Arc::clone(shared), work.token.clone()));
        work.run(feed::serve(Arc::clone(shared), work.token.clone()));
        work.run(partitions::serve(Arc::clone(shared), work.token.clone()));
        let mut heartbeat = Group::default();
        heartbeat.run(node::serve(Arc::clone(shared), heartbeat.token.clone()));
        Self { work, heartbeat }
    }

    pub(crate) async fn finish(self) {
        self.work.finish().await;
        self.heartbeat.finish().await;
    }
}

#[derive(Debug, Default)]
struct Group {
    token: CancellationToken,
    tasks: JoinSet<()>,
}

impl Group {
    fn run(&mut self, service: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(service);
    }

    async fn finish(mut self) {
        self.token.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!("a service of the store failed: {error}");
            }
        }
    }
}
