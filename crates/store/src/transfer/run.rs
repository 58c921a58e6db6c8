//! The order of a move: begin or go on, piece by piece, finish, compare, complete.

use hookpost_domain::MessageId;

use super::{Cursor, Kind, Section, Tally, Transfer, TransferError};

/// How far a move has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    pub phase: Phase,
    /// From 0 to 1, within the phase.
    pub part: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Moving,
    /// Lists and counters are made.
    Finishing,
    /// Both sides are read and compared.
    Comparing,
}

/// What was moved and compared.
#[derive(Debug, Clone, Copy)]
pub struct Moved {
    pub tally: Tally,
}

/// Moves everything, goes on where an earlier call was cut short, and compares both sides at the end.
pub async fn transfer(
    source: &mut dyn Transfer,
    target: &mut dyn Transfer,
    on_progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Moved, TransferError> {
    let mut moving = Move::begin(source, target).await?;
    while moving.step().await? {
        on_progress(moving.progress());
    }
    on_progress(Progress { phase: Phase::Finishing, part: 0.0 });
    moving.finish(on_progress).await
}

/// A move under way.
pub struct Move<'a> {
    source: &'a mut dyn Transfer,
    target: &'a mut dyn Transfer,
    cursor: Cursor,
    span: Option<(MessageId, MessageId)>,
}

impl<'a> Move<'a> {
    pub async fn begin(source: &'a mut dyn Transfer, target: &'a mut dyn Transfer) -> Result<Self, TransferError> {
        source.check_unused().await?;
        target.check_unused().await?;
        let key = source.public_id_key().await?;
        let cursor = target.begin(source.place(), key).await?;
        // Whoever opened it before it was marked as a target is seen now.
        target.check_unused().await?;
        let span = source.messages_span().await?;
        Ok(Self { source, target, cursor, span })
    }

    /// Moves one piece; `false`: there is none left.
    pub async fn step(&mut self) -> Result<bool, TransferError> {
        let Some(section) = self.cursor.section else { return Ok(false) };
        let batch = self.source.export(section, self.cursor.after.as_ref()).await?;
        let mut next = self.cursor.clone();
        for row in &batch.rows {
            next.last_row_id = next.last_row_id.max(row.highest_row_id()?);
        }
        next.after.clone_from(&batch.next);
        next.section = if batch.next.is_some() { Some(section) } else { section.next() };
        self.target.import(batch, &next).await?;
        self.cursor = next;
        Ok(true)
    }

    pub fn progress(&self) -> Progress {
        let part = match self.cursor.section {
            Some(section) if section < Section::History => 0.0,
            Some(Section::History) => part_of_history(self.span, self.cursor.after.as_deref()),
            _ => 1.0,
        };
        Progress { phase: Phase::Moving, part }
    }

    /// After the last step: makes what is made from everything, compares, and hands the target over.
    pub async fn finish(self, on_progress: &mut (dyn FnMut(Progress) + Send)) -> Result<Moved, TransferError> {
        let Self { source, target, cursor, span } = self;
        target.finish(&cursor).await?;
        let mut comparing = |part: f64| on_progress(Progress { phase: Phase::Comparing, part });
        let own = tally_of(source, span, &mut |part| comparing(part / 2.0)).await?;
        let other = tally_of(target, span, &mut |part| comparing(0.5 + part / 2.0)).await?;
        compare(source, target, &own, &other).await?;
        // Who opened the source meanwhile may have changed it after it was read.
        source.check_unused().await?;
        target.complete().await?;
        Ok(Moved { tally: own })
    }
}

async fn compare(source: &mut dyn Transfer, target: &mut dyn Transfer, own: &Tally, other: &Tally) -> Result<(), TransferError> {
    if source.public_id_key().await? != target.public_id_key().await? {
        return Err(TransferError::OtherIds(target.place()));
    }
    match own.difference(other) {
        None => Ok(()),
        Some(kind) => Err(TransferError::Different {
            kind: kind.name(),
            differ: (own.count(kind), other.count(kind)),
            source_place: source.place(),
            target_place: target.place(),
        }),
    }
}

/// Reads everything that a store has.
async fn tally_of(
    store: &mut dyn Transfer,
    span: Option<(MessageId, MessageId)>,
    on_part: &mut (dyn FnMut(f64) + Send),
) -> Result<Tally, TransferError> {
    let mut tally = Tally::default();
    for section in Section::ALL {
        let mut after = None;
        loop {
            let batch = store.export(section, after.as_ref()).await?;
            batch.rows.iter().for_each(|row| row.count_in(&mut tally));
            after = batch.next;
            if section == Section::History {
                on_part(part_of_history(span, after.as_deref()));
            }
            if after.is_none() {
                break;
            }
        }
    }
    Ok(tally)
}

/// Messages are moved in the order of their ids, which grow with time: how far is as good as how many.
fn part_of_history(span: Option<(MessageId, MessageId)>, after: Option<&[u8]>) -> f64 {
    let at = after.and_then(|key| key.try_into().ok()).map(u64::from_be_bytes);
    match (span, at) {
        (Some((first, last)), Some(at)) if last > first => {
            let [first, last] = [first, last].map(|id| id.row().raw());
            (at.saturating_sub(first) as f64 / (last - first) as f64).min(1.0)
        }
        _ => 0.0,
    }
}

impl Moved {
    /// Counts by name, without what there is none of.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Kind::ALL.into_iter().map(|kind| (kind.name(), self.tally.count(kind))).filter(|(_, count)| *count > 0)
    }
}

impl std::fmt::Debug for Move<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Move({:?})", self.cursor)
    }
}
