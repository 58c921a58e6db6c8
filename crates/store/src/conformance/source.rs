//! Sources: found by what they are called and by what stands in their URL, and by nobody else.

use std::sync::Arc;

use hookpost_domain::source::{Cron, SourceKind, SourceToken, SourceTokens};
use hookpost_domain::{Application, ApplicationId, DeliveryKey, DeliveryState, Invalid, Reason, Source, SourceId};

use super::Harness;
use super::fixture::door::*;
use super::fixture::*;
use crate::{Order, PageRequest, Reference, SharedStore, WriteError};

async fn by_id(store: &SharedStore, org: char, id: SourceId) -> Option<Source> {
    store.source(&super::fixture::org(org), Reference::Id(id)).await.unwrap().map(Arc::unwrap_or_clone)
}

async fn by_uid(store: &SharedStore, org: char, uid: &str) -> Option<SourceId> {
    store.source(&super::fixture::org(org), Reference::Uid(uid)).await.unwrap().map(|source| source.id)
}

async fn by_token(store: &SharedStore, token: &SourceToken) -> Option<Source> {
    store.source_by_token(token).await.unwrap().map(Arc::unwrap_or_clone)
}

pub async fn sources_are_found_with_all_they_have(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let store = harness.store();
    let source = Source { uid: uid("stripe"), ..new_source(store, org('a'), scene.application) };
    store.create_source(source.clone(), None).await.unwrap();
    for _ in 0..2 {
        let store = harness.store();
        assert_eq!(by_id(store, 'a', source.id).await.as_ref(), Some(&source));
        assert_eq!(by_uid(store, 'a', "stripe").await, Some(source.id));
        assert_eq!(by_uid(store, 'a', "other").await, None);
        assert_eq!(store.source_by_id(source.id).await.unwrap().as_deref(), Some(&source));
        assert_eq!((by_id(store, 'b', source.id).await, by_uid(store, 'b', "stripe").await), (None, None));
        let unknown = SourceId::from_row(store.new_row_id(NOW));
        assert_eq!((by_id(store, 'a', unknown).await, store.source_by_id(unknown).await.unwrap()), (None, None));
        harness.reopen().await;
    }
}

pub async fn uids_of_sources_are_unique_per_tenant(harness: &mut dyn Harness) {
    let (scene, other_scene) = (scene(harness.store(), 0).await, scene(harness.store(), 0).await);
    let store = harness.store();
    let with = |text| Source { uid: uid(text), ..new_source(store, org('a'), scene.application) };
    let (first, other) = (with("one"), with("two"));
    store.create_source(first.clone(), None).await.unwrap();
    store.create_source(other.clone(), None).await.unwrap();
    let taken = Err(WriteError::Conflict { field: "uid" });
    assert_eq!(store.create_source(with("one"), None).await, taken);
    let rename = |source: &mut Source| {
        source.uid = uid("one");
        Ok(())
    };
    assert_eq!(store.update_source(other.id, Box::new(rename)).await.map(drop), taken);
    assert_eq!(by_id(store, 'a', other.id).await, Some(other.clone()));
    // Applications have uids of their own, and so do other tenants.
    let name = |application: &mut Application| {
        application.uid = uid("one");
        Ok(())
    };
    store.update_application(other_scene.application, Box::new(name)).await.unwrap();
    let (source, application) = new_source_with_application(store, org('b'));
    store.create_source(Source { uid: uid("one"), ..source }, Some(application)).await.unwrap();
    // Free again once it is gone.
    store.delete_source(first.id, NOW).await.unwrap();
    store.update_source(other.id, Box::new(rename)).await.unwrap();
    assert_eq!(by_uid(store, 'a', "one").await, Some(other.id));
    assert_eq!(by_uid(store, 'a', "two").await, None);
}

pub async fn tokens_lead_to_their_source(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let source = source_of(harness.store(), &scene).await;
    let (current, old) = (source.tokens.current.clone(), source.tokens.old[0].0.clone());
    let unknown = SourceToken("guessed".into());
    for _ in 0..2 {
        // Twice: as it is read, and as it is remembered.
        for token in [&current, &old, &current] {
            assert_eq!(by_token(harness.store(), token).await.as_ref(), Some(&source));
        }
        assert_eq!(by_token(harness.store(), &unknown).await, None);
        harness.reopen().await;
    }
    let store = harness.store();
    assert_eq!(by_token(store, &current).await.as_ref(), Some(&source));
    let rotate = |source: &mut Source| {
        let before = std::mem::replace(&mut source.tokens.current, SourceToken("new".into()));
        source.tokens.old = vec![(before, at(99))];
        Ok(())
    };
    let rotated = store.update_source(source.id, Box::new(rotate)).await.unwrap();
    for token in [&current, &SourceToken("new".into())] {
        assert_eq!(by_token(store, token).await.as_ref(), Some(&rotated));
    }
    assert_eq!(by_token(store, &old).await, None, "it was dropped");
    assert!(rotated.tokens.opens(&current.0, at(98)) && !rotated.tokens.opens(&current.0, at(99)));

    // What was not there when it was asked for, and what is not there any more.
    let late = Source { tokens: SourceTokens { current: unknown.clone(), old: vec![] }, ..new_source(store, org('a'), scene.application) };
    store.create_source(late.clone(), None).await.unwrap();
    assert_eq!(by_token(store, &unknown).await.as_ref(), Some(&late));
    let taken = Source { tokens: late.tokens.clone(), ..new_source(store, org('a'), scene.application) };
    assert_eq!(store.create_source(taken, None).await, Err(WriteError::Conflict { field: "token" }));
    store.delete_source(late.id, NOW).await.unwrap();
    assert_eq!(by_token(store, &unknown).await, None);
    harness.reopen().await;
    assert_eq!(by_token(harness.store(), &unknown).await, None);
    assert_eq!(by_token(harness.store(), &old).await, None);
}

pub async fn a_source_comes_and_goes_with_its_application(harness: &mut dyn Harness) {
    let store = harness.store().clone();
    let (source, application) = new_source_with_application(&store, org('a'));
    store.create_source(source.clone(), Some(application.clone())).await.unwrap();
    let endpoint = new_endpoint(&store, application.id);
    store.create_endpoint(endpoint.clone()).await.unwrap();
    let leased = accept_leased(harness, new_message(application.id, &[endpoint.id]), NOW).await.remove(0);
    assert_eq!(store.application_by_id(application.id).await.unwrap().unwrap().application, application);

    store.delete_source(source.id, NOW).await.unwrap();
    assert_eq!(store.delete_source(source.id, NOW).await, Err(WriteError::NotFound));
    assert_eq!(store.application_by_id(application.id).await.unwrap(), None);
    let key: DeliveryKey = leased.key;
    assert_eq!(state_of(&store, key).await, DeliveryState::Canceled { reason: Reason::EndpointDeleted });
    drop(store);
    harness.reopen().await;
    assert_eq!(harness.store().application_by_id(application.id).await.unwrap(), None);
    assert_eq!(harness.store().source_by_id(source.id).await.unwrap(), None);
}

pub async fn an_application_of_others_stays_when_a_source_goes(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let source = source_of(harness.store(), &scene).await;
    let store = harness.store();
    store.delete_source(source.id, NOW).await.unwrap();
    assert!(store.application_by_id(scene.application).await.unwrap().is_some());
    // And the other way round.
    let (source, application) = new_source_with_application(store, org('a'));
    store.create_source(source.clone(), Some(application.clone())).await.unwrap();
    store.delete_application(application.id, NOW).await.unwrap();
    assert!(store.source_by_id(source.id).await.unwrap().is_some());
    store.delete_source(source.id, NOW).await.unwrap();
}

pub async fn half_a_source_is_never_made(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let store = harness.store();
    let nowhere = ApplicationId::from_row(store.new_row_id(NOW));
    let lost = new_source(store, org('a'), nowhere);
    assert_eq!(store.create_source(lost.clone(), None).await, Err(WriteError::NotFound));
    let foreign = new_source(store, org('b'), scene.application);
    assert_eq!(store.create_source(foreign.clone(), None).await, Err(WriteError::NotFound));

    let name = |application: &mut Application| {
        application.uid = uid("acme");
        Ok(())
    };
    store.update_application(scene.application, Box::new(name)).await.unwrap();
    let (source, application) = new_source_with_application(store, org('a'));
    let refused = store.create_source(source.clone(), Some(Application { uid: uid("acme"), ..application.clone() })).await;
    assert_eq!(refused, Err(WriteError::Conflict { field: "uid" }));
    for id in [lost.id, foreign.id, source.id] {
        assert_eq!(store.source_by_id(id).await.unwrap(), None);
    }
    assert_eq!(by_token(store, &source.tokens.current).await, None);
    store.create_source(source.clone(), Some(application.clone())).await.unwrap();
    let taken = Source { id: lost.id, ..source.clone() };
    let other = Application { id: nowhere, uid: None, ..application };
    assert_eq!(
        store.create_source(Source { application: nowhere, ..taken }, Some(other)).await,
        Err(WriteError::Conflict { field: "token" })
    );
    assert_eq!(store.application_by_id(nowhere).await.unwrap(), None);

    let refuse = |source: &mut Source| {
        (source.name, source.disabled) = ("changed".into(), true);
        Err(Invalid::new("no"))
    };
    assert_eq!(store.update_source(source.id, Box::new(refuse)).await, Err(WriteError::Refused(Invalid::new("no"))));
    let lead_away = move |source: &mut Source| {
        source.application = nowhere;
        Ok(())
    };
    assert_eq!(store.update_source(source.id, Box::new(lead_away)).await, Err(WriteError::NotFound));
    assert_eq!(store.update_source(lost.id, Box::new(|_| Ok(()))).await, Err(WriteError::NotFound));
    harness.reopen().await;
    assert_eq!(by_id(harness.store(), 'a', source.id).await, Some(source));
}

pub async fn sources_are_listed_in_pages(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(source_of(harness.store(), &scene).await.id);
    }
    let store = harness.store();
    let (foreign, application) = new_source_with_application(store, org('b'));
    store.create_source(foreign.clone(), Some(application)).await.unwrap();
    let gone = ids.remove(2);
    store.delete_source(gone, NOW).await.unwrap();
    check_pages(&ids, &[gone], async |page| {
        let listed = store.sources(&org('a'), page).await.unwrap();
        (listed.items.into_iter().map(|source| source.id).collect(), listed.done)
    })
    .await;
    let listed = store.sources(&org('b'), PageRequest::first(9, Order::Ascending)).await.unwrap();
    assert_eq!(listed.items, [foreign]);
}

pub async fn sources_that_nobody_calls_are_listed_for_the_engine(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let store = harness.store();
    let called = source_of(store, &scene).await;
    let cron = SourceKind::Cron(Cron { schedule: "0 * * * *".into(), payload: "{}".into(), content_type: None });
    let cron = Source { kind: cron, disabled: true, ..new_source(store, org('a'), scene.application) };
    store.create_source(cron.clone(), None).await.unwrap();
    let (foreign, application) = new_source_with_application(store, org('b'));
    store.create_source(foreign.clone(), Some(application)).await.unwrap();
    let ask_too = |source: &mut Source| {
        source.rules.back_fill = Some(back_fill());
        Ok(())
    };
    let foreign = store.update_source(foreign.id, Box::new(ask_too)).await.unwrap();
    let pulled = async |harness: &dyn Harness| {
        harness.store().pull_sources().await.unwrap().into_iter().map(Arc::unwrap_or_clone).collect::<Vec<_>>()
    };
    assert_eq!(pulled(harness).await, [cron.clone(), foreign.clone()]);
    harness.reopen().await;
    assert_eq!(pulled(harness).await, [cron.clone(), foreign.clone()]);
    let ask_no_more = |source: &mut Source| {
        source.rules.back_fill = None;
        Ok(())
    };
    harness.store().update_source(foreign.id, Box::new(ask_no_more)).await.unwrap();
    harness.store().delete_source(called.id, NOW).await.unwrap();
    assert_eq!(pulled(harness).await, [cron]);
    assert_eq!(harness.store().take_source(foreign.id).await, Ok(true));
}

pub async fn states_of_sources_are_kept_apart(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let source = source_of(harness.store(), &scene).await.id;
    let store = harness.store();
    let version = store.version();
    assert_eq!(store.source_state(source).await.unwrap(), None);
    for state in [vec![], b"\0cursor".to_vec(), vec![7; 5000]] {
        store.set_source_state(source, state.clone()).await.unwrap();
        assert_eq!(store.source_state(source).await.unwrap(), Some(state));
    }
    assert_eq!(store.version(), version, "it is no part of the catalogue");
    harness.reopen().await;
    let store = harness.store();
    assert_eq!(store.source_state(source).await.unwrap(), Some(vec![7; 5000]));
    store.delete_source(source, NOW).await.unwrap();
    assert_eq!(store.source_state(source).await.unwrap(), None);
    store.set_source_state(source, vec![1]).await.unwrap();
    assert_eq!(store.source_state(source).await.unwrap(), None, "nobody would ever take it away");
}

pub async fn every_change_of_a_source_shows_in_the_version(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let store = harness.store();
    let mut last = store.version();
    let mut changed = |what: &str| {
        assert_ne!(store.version(), last, "{what}");
        last = store.version();
    };
    let source = source_of(store, &scene).await.id;
    changed("created");
    store.update_source(source, Box::new(|_| Ok(()))).await.unwrap();
    changed("changed");
    store.delete_source(source, NOW).await.unwrap();
    changed("deleted");
}
