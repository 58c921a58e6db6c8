//! What the door counts.

use hookpost_domain::receipt::VerdictKind;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::metrics::latency_histogram;

#[derive(Debug, Clone)]
pub(crate) struct DoorMetrics {
    verdicts: Family<VerdictLabel, Counter>,
    /// One of them, which nearly all requests count in.
    accepted: Counter,
    refusals: Family<CodeLabel, Counter>,
    answer_seconds: Histogram,
    pub(super) receipts_not_kept: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabel {
    verdict: &'static str,
}

/// The words of refusals are ours: a closed list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: String,
}

impl Default for DoorMetrics {
    fn default() -> Self {
        let verdicts: Family<VerdictLabel, Counter> = Family::default();
        Self {
            accepted: verdicts.get_or_create_owned(&VerdictLabel { verdict: VerdictKind::Accepted.as_str() }),
            verdicts,
            refusals: Family::default(),
            answer_seconds: latency_histogram(),
            receipts_not_kept: Counter::default(),
        }
    }
}

impl DoorMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("hookpost_source_requests", "Requests at sources by what became of them", self.verdicts.clone());
        registry.register("hookpost_source_refusals", "Requests at sources that were turned away, by the reason", self.refusals.clone());
        registry.register(
            "hookpost_source_answer_duration_seconds",
            "From the head of a request at a source to the answer that it was taken",
            self.answer_seconds.clone(),
        );
        registry.register(
            "hookpost_source_receipts_not_kept",
            "Requests that made no message and of which nothing was kept, because there were too many",
            self.receipts_not_kept.clone(),
        );
    }

    pub(super) fn taken(&self, verdict: VerdictKind, started: Instant) {
        match verdict {
            VerdictKind::Accepted => self.accepted.inc(),
            verdict => self.verdicts.get_or_create(&VerdictLabel { verdict: verdict.as_str() }).inc(),
        };
        self.answer_seconds.observe(started.elapsed().as_secs_f64());
    }

    pub(super) fn refused(&self, code: &str) {
        self.verdicts.get_or_create(&VerdictLabel { verdict: VerdictKind::Rejected.as_str() }).inc();
        self.refusals.get_or_create(&CodeLabel { code: code.to_owned() }).inc();
    }
}
