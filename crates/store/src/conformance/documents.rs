//! Documents: on their shelf, by id and by name, and gone with what owns them.

use hookpost_domain::access::{KeyText, ShownKey};
use hookpost_domain::{ApiKeyId, ApplicationId, Integration, IntegrationId, Invalid, RowId};
use tokio::task::JoinSet;

use super::Harness;
use super::fixture::*;
use crate::documents::{DocumentKind, DocumentRow, Named, Shelf};
use crate::{Order, PageRequest, SharedStore, WriteError};

const TAKEN: WriteError = WriteError::Conflict { field: "uid" };

/// A shelf of tenant `a`.
fn shelf(kind: DocumentKind, owner: RowId) -> Shelf {
    Shelf { kind, org: org('a'), owner }
}

fn new_document(store: &SharedStore, shelf: &Shelf, name: Option<&str>) -> DocumentRow {
    let id = store.new_row_id(NOW);
    let data = format!("\0\u{ff} {id:?}").into_bytes();
    DocumentRow { shelf: shelf.clone(), id, name: name.map(str::to_owned), data, forget_at: None }
}

async fn create(store: &SharedStore, shelf: &Shelf, name: Option<&str>) -> DocumentRow {
    let row = new_document(store, shelf, name);
    store.create_document(row.clone()).await.unwrap();
    row
}

async fn find(store: &SharedStore, row: &DocumentRow) -> Option<DocumentRow> {
    store.document(&row.shelf, Named::Id(row.id)).await.unwrap()
}

async fn named(store: &SharedStore, shelf: &Shelf, name: &str) -> Option<RowId> {
    store.document(shelf, Named::Name(name)).await.unwrap().map(|row| row.id)
}

pub async fn documents_are_found_on_their_shelf_only(harness: &mut dyn Harness) {
    let store = harness.store();
    let owner = store.new_row_id(NOW);
    let own = shelf(DocumentKind::Sink, owner);
    let row = create(store, &own, Some("b")).await;
    let nameless = create(store, &own, None).await;
    let others = [
        shelf(DocumentKind::Sink, RowId::MIN),
        shelf(DocumentKind::Sink, store.new_row_id(NOW)),
        shelf(DocumentKind::Stream, owner),
        Shelf { org: org('b'), ..own.clone() },
    ];
    // One of each tenant, with the same id.
    let settings = ['a', 'b'].map(|letter| DocumentRow {
        shelf: Shelf { kind: DocumentKind::EnvironmentSettings, org: org(letter), owner: RowId::MIN },
        id: RowId::MAX,
        name: None,
        data: vec![letter as u8],
        forget_at: Some(at(9)),
    });
    for one in &settings {
        store.create_document(one.clone()).await.unwrap();
        assert_eq!(store.create_document(one.clone()).await, Err(TAKEN));
    }
    for _ in 0..2 {
        let store = harness.store();
        assert_eq!(find(store, &row).await.as_ref(), Some(&row));
        assert_eq!(find(store, &nameless).await.as_ref(), Some(&nameless));
        assert_eq!(named(store, &own, "b").await, Some(row.id));
        assert_eq!((named(store, &own, "a").await, named(store, &own, "").await), (None, None));
        for other in &others {
            assert_eq!(store.document(other, Named::Id(row.id)).await.unwrap(), None);
            assert_eq!(named(store, other, "b").await, None);
            let change = Box::new(|_: &mut DocumentRow| Ok(()));
            assert_eq!(store.update_document(other, row.id, change).await, Err(WriteError::NotFound));
            assert_eq!(store.delete_document(other, row.id).await, Err(WriteError::NotFound));
        }
        for one in &settings {
            assert_eq!(find(store, one).await.as_ref(), Some(one));
        }
        harness.reopen().await;
    }
    let store = harness.store();
    store.delete_document(&settings[0].shelf, RowId::MAX).await.unwrap();
    assert_eq!((find(store, &settings[0]).await, find(store, &settings[1]).await), (None, Some(settings[1].clone())));
}

pub async fn names_of_documents_are_unique_on_their_shelf(harness: &mut dyn Harness) {
    let store = harness.store();
    let own = shelf(DocumentKind::Sink, store.new_row_id(NOW));
    let first = create(store, &own, Some("one")).await;
    let second = create(store, &own, Some("two")).await;
    for _ in 0..2 {
        create(store, &own, None).await;
    }
    for other in [
        Shelf { org: org('b'), ..own.clone() },
        Shelf { kind: DocumentKind::Stream, ..own.clone() },
        Shelf { owner: store.new_row_id(NOW), ..own.clone() },
    ] {
        create(store, &other, Some("one")).await;
    }
    let refused = new_document(store, &own, Some("one"));
    assert_eq!(store.create_document(refused.clone()).await, Err(TAKEN));
    assert_eq!(find(store, &refused).await, None);
    let rename = |name: Option<&'static str>| {
        Box::new(move |row: &mut DocumentRow| {
            (row.name, row.data) = (name.map(str::to_owned), b"renamed".to_vec());
            Ok(())
        })
    };
    assert_eq!(store.update_document(&own, second.id, rename(Some("one"))).await, Err(TAKEN));
    assert_eq!(find(store, &second).await.as_ref(), Some(&second));
    // Its own name is no obstacle, and free again once it has none or is gone.
    store.update_document(&own, first.id, rename(Some("one"))).await.unwrap();
    store.update_document(&own, first.id, rename(None)).await.unwrap();
    store.update_document(&own, second.id, rename(Some("one"))).await.unwrap();
    assert_eq!((named(store, &own, "one").await, named(store, &own, "two").await), (Some(second.id), None));
    store.delete_document(&own, second.id).await.unwrap();
    create(store, &own, Some("one")).await;

    let mut creations = JoinSet::new();
    for _ in 0..16 {
        let (store, row) = (harness.store().clone(), new_document(harness.store(), &own, Some("wanted")));
        creations.spawn(async move { store.create_document(row).await });
    }
    let answers = creations.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(answers.iter().flat_map(|answer| answer.as_ref().err()).all(|error| *error == TAKEN), "{answers:?}");
}

pub async fn documents_are_listed_in_pages(harness: &mut dyn Harness) {
    let store = harness.store();
    let own = shelf(DocumentKind::Stream, RowId::MIN);
    let mut ids = Vec::new();
    for index in 0..7 {
        create(store, &Shelf { org: org('b'), ..own.clone() }, None).await;
        create(store, &Shelf { owner: RowId::from_raw(1), ..own.clone() }, None).await;
        ids.push(create(store, &own, (index % 2 == 0).then_some(["d", "c", "b", "a"][index / 2])).await.id);
    }
    let gone = ids.remove(2);
    store.delete_document(&own, gone).await.unwrap();
    for _ in 0..2 {
        check_pages(&ids, &[gone], async |page| {
            let listed = harness.store().documents(&own, page).await.unwrap();
            (listed.items.iter().map(|row| row.id).collect(), listed.done)
        })
        .await;
        harness.reopen().await;
    }
}

pub async fn documents_are_changed_in_place_or_not_at_all(harness: &mut dyn Harness) {
    let store = harness.store();
    let own = shelf(DocumentKind::Sink, store.new_row_id(NOW));
    let row = create(store, &own, Some("one")).await;
    let change = |refuse: bool| {
        Box::new(move |row: &mut DocumentRow| {
            (row.name, row.data, row.forget_at) = (Some("other".into()), b"changed".to_vec(), Some(at(7)));
            if refuse { Err(Invalid::new("no")) } else { Ok(()) }
        })
    };
    let version = store.version();
    assert_eq!(store.update_document(&own, row.id, change(true)).await, Err(WriteError::Refused(Invalid::new("no"))));
    assert_eq!((find(store, &row).await.as_ref(), named(store, &own, "one").await), (Some(&row), Some(row.id)));
    assert_eq!(store.version(), version);
    let changed = DocumentRow { name: Some("other".into()), data: b"changed".to_vec(), forget_at: Some(at(7)), ..row.clone() };
    assert_eq!(store.update_document(&own, row.id, change(false)).await.as_ref(), Ok(&changed));
    for _ in 0..2 {
        assert_eq!(find(harness.store(), &row).await.as_ref(), Some(&changed));
        assert_eq!(named(harness.store(), &own, "one").await, None);
        harness.reopen().await;
    }

    // Of several who change it at once, each sees what the one before left.
    let mut changes = JoinSet::new();
    for _ in 0..16 {
        let (store, own, id) = (harness.store().clone(), own.clone(), row.id);
        let append = Box::new(|row: &mut DocumentRow| {
            row.data.push(b'.');
            Ok(())
        });
        changes.spawn(async move { store.update_document(&own, id, append).await.map(drop) });
    }
    assert!(changes.join_all().await.into_iter().all(|answer| answer == Ok(())));
    let data = find(harness.store(), &row).await.unwrap().data;
    assert_eq!(data, [b"changed".as_slice(), &[b'.'; 16]].concat());
}

pub async fn a_document_is_deleted_once(harness: &mut dyn Harness) {
    let store = harness.store();
    let own = shelf(DocumentKind::Ticket, RowId::MIN);
    let row = create(store, &own, None).await;
    let mut deletions = JoinSet::new();
    for _ in 0..16 {
        let (store, own, id) = (harness.store().clone(), own.clone(), row.id);
        deletions.spawn(async move { store.delete_document(&own, id).await });
    }
    let answers = deletions.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(answers.iter().flat_map(|answer| answer.as_ref().err()).all(|error| *error == WriteError::NotFound));
    for _ in 0..2 {
        assert_eq!(find(harness.store(), &row).await, None);
        harness.reopen().await;
    }
}

pub async fn documents_go_with_what_owns_them(harness: &mut dyn Harness) {
    let (gone, kept) = (scene(harness.store(), 0).await.application, scene(harness.store(), 0).await.application);
    let store = harness.store();
    let of = |application: ApplicationId| shelf(DocumentKind::Integration, application.row());
    let (integration, other) = (create(store, &of(gone), None).await, create(store, &of(kept), None).await);
    let stream = create(store, &shelf(DocumentKind::Stream, RowId::MIN), Some("s")).await;
    let sinks = [None, Some("one")];
    let sinks = [
        create(store, &shelf(DocumentKind::Sink, stream.id), sinks[0]).await,
        create(store, &shelf(DocumentKind::Sink, stream.id), sinks[1]).await,
        create(store, &shelf(DocumentKind::Sink, gone.row()), sinks[1]).await,
    ];
    // What is owned by what is owned.
    let below = create(store, &shelf(DocumentKind::Ticket, sinks[0].id), None).await;
    let (source, application) = door::new_source_with_application(store, org('a'));
    store.create_source(source.clone(), Some(application.clone())).await.unwrap();
    let of_source = create(store, &of(application.id), None).await;

    store.delete_application(gone, NOW).await.unwrap();
    store.delete_document(&stream.shelf, stream.id).await.unwrap();
    store.delete_source(source.id, NOW).await.unwrap();
    for _ in 0..2 {
        let store = harness.store();
        for row in [&integration, &stream, &sinks[0], &sinks[1], &sinks[2], &below, &of_source] {
            assert_eq!(find(store, row).await, None, "{row:?}");
        }
        assert_eq!(find(store, &other).await.as_ref(), Some(&other));
        harness.reopen().await;
    }
}

pub async fn documents_of_a_kind_are_listed_for_the_engine(harness: &mut dyn Harness) {
    let store = harness.store();
    let owner = store.new_row_id(NOW);
    let mut sinks = Vec::new();
    for letter in ['b', 'a', 'b'] {
        let own = Shelf { kind: DocumentKind::Sink, org: org(letter), owner };
        sinks.push(create(store, &own, None).await);
        sinks.push(create(store, &Shelf { owner: RowId::MIN, ..own.clone() }, None).await);
        create(store, &Shelf { kind: DocumentKind::Stream, ..own }, None).await;
    }
    for _ in 0..2 {
        assert_eq!(harness.store().documents_of_kind(DocumentKind::Sink).await.unwrap(), sinks);
        assert_eq!(harness.store().documents_of_kind(DocumentKind::Ticket).await.unwrap(), []);
        harness.reopen().await;
    }
}

pub async fn documents_are_forgotten_at_their_time(harness: &mut dyn Harness) {
    let store = harness.store();
    let own = shelf(DocumentKind::Ticket, RowId::MIN);
    let ticket = |name, seconds| DocumentRow { forget_at: Some(at(seconds)), ..new_document(store, &own, Some(name)) };
    let (early, late) = (ticket("early", 10), ticket("late", 20));
    for row in [&early, &late] {
        store.create_document(row.clone()).await.unwrap();
    }
    let forever = create(store, &own, Some("forever")).await;
    harness.reopen().await;
    for (seconds, left) in [(9, &[&early, &late, &forever][..]), (10, &[&late, &forever]), (DAY.as_secs(), &[&forever])] {
        forget_all(harness.store(), DAY, at(seconds)).await;
        let listed = harness.store().documents(&own, PageRequest::first(9, Order::Ascending)).await.unwrap();
        assert_eq!(listed.items.iter().collect::<Vec<_>>(), left);
    }
    // And its name is free again.
    create(harness.store(), &own, Some("early")).await;
}

pub async fn every_change_of_a_document_shows_in_the_version(harness: &mut dyn Harness) {
    let store = harness.store();
    let mut last = store.version();
    let mut changed = |what: &str| {
        assert_ne!(store.version(), last, "{what}");
        last = store.version();
    };
    let own = shelf(DocumentKind::Sink, RowId::MIN);
    let row = create(store, &own, None).await;
    changed("created");
    store.update_document(&own, row.id, Box::new(|_| Ok(()))).await.unwrap();
    changed("changed");
    store.delete_document(&own, row.id).await.unwrap();
    changed("deleted");
}

pub async fn typed_documents_come_back(harness: &mut dyn Harness) {
    let store = harness.store();
    let application = scene(store, 0).await.application;
    let (org, owner) = (org('a'), application.row());
    let id = IntegrationId::from_row(store.new_row_id(NOW));
    let feature_flags = vec!["beta".to_owned()];
    let key = ShownKey { id: ApiKeyId::from_row(store.new_row_id(NOW)), text: KeyText("hp_x".into()), created_at: NOW, expires_at: None };
    let made = Integration { id, org: org.clone(), application, name: "Zap".into(), feature_flags, key, created_at: NOW, updated_at: NOW };
    store.create(&made).await.unwrap();
    let rename = |integration: &mut Integration| {
        integration.name = "Zapp".into();
        Ok(())
    };
    let changed = store.update(&org, owner, id.row(), rename).await.unwrap();
    assert_eq!(changed, Integration { name: "Zapp".into(), ..made });
    for _ in 0..2 {
        let store = harness.store();
        assert_eq!(store.find::<Integration>(&org, owner, Named::Id(id.row())).await.unwrap().as_ref(), Some(&changed));
        let listed = store.list::<Integration>(&org, owner, PageRequest::first(9, Order::Ascending)).await.unwrap();
        assert_eq!(listed.items, std::slice::from_ref(&changed));
        assert_eq!(store.list_all::<Integration>().await.unwrap(), std::slice::from_ref(&changed));
        harness.reopen().await;
    }
    harness.store().delete::<Integration>(&org, owner, id.row()).await.unwrap();
    assert!(harness.store().list_all::<Integration>().await.unwrap().is_empty());
}
