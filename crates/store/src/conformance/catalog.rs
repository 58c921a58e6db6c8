//! What is configured, and that tenants do not see each other.

use std::sync::Arc;

use hookpost_domain::access::{Revocation, RevocationTarget};
use hookpost_domain::endpoint::Disabled;
use hookpost_domain::id::ApplicationKind;
use hookpost_domain::task::{ReplayFilter, TaskProgress, TaskStatus, TaskWork};
use hookpost_domain::{
    ApiKeyId, Application, ApplicationId, BackgroundTask, EndpointId, EventTypeName, Invalid, OrgId, SigningSecret, TaskId,
};

use super::Harness;
use super::fixture::*;
use crate::catalog::TaskFilter;
use crate::{Order, PageRequest, Reference, SharedStore, WriteError};

async fn find(store: &SharedStore, org: &OrgId, reference: Reference<'_, ApplicationKind>) -> Option<Application> {
    store.application(org, reference).await.unwrap().map(|view| view.application.clone())
}

pub async fn applications_are_found_by_id_and_uid(harness: &mut dyn Harness) {
    let store = harness.store();
    let application = Application { uid: uid("acme"), ..new_application(store, org('a')) };
    store.create_application(application.clone()).await.unwrap();
    assert_eq!(find(store, &org('a'), Reference::Id(application.id)).await, Some(application.clone()));
    assert_eq!(find(store, &org('a'), Reference::Uid("acme")).await, Some(application.clone()));
    assert_eq!(store.application_by_id(application.id).await.unwrap().unwrap().application, application);
    assert_eq!(find(store, &org('a'), Reference::Uid("other")).await, None);
    let unknown = ApplicationId::from_row(store.new_row_id(NOW));
    assert_eq!(find(store, &org('a'), Reference::Id(unknown)).await, None);
    assert_eq!(store.application_by_id(unknown).await.unwrap(), None);

    let change = |application: &mut Application| {
        (application.uid, application.name, application.throttle_rate) = (uid("renamed"), "New".into(), None);
        application.updated_at = at(5);
        Ok(())
    };
    let changed = store.update_application(application.id, Box::new(change)).await.unwrap();
    assert_eq!((changed.name.as_str(), changed.updated_at), ("New", at(5)));
    assert_eq!(find(store, &org('a'), Reference::Uid("renamed")).await, Some(changed));
    assert_eq!(find(store, &org('a'), Reference::Uid("acme")).await, None);
}

pub async fn applications_of_others_are_not_there(harness: &mut dyn Harness) {
    let store = harness.store();
    let application = Application { uid: uid("acme"), ..new_application(store, org('a')) };
    store.create_application(application.clone()).await.unwrap();
    assert_eq!(find(store, &org('b'), Reference::Id(application.id)).await, None);
    assert_eq!(find(store, &org('b'), Reference::Uid("acme")).await, None);
    assert!(store.applications(&org('b'), PageRequest::first(9, Order::Ascending)).await.unwrap().items.is_empty());
}

pub async fn uids_of_applications_are_unique_per_tenant(harness: &mut dyn Harness) {
    let store = harness.store();
    let with = |org, text| Application { uid: uid(text), ..new_application(store, org) };
    let (first, other) = (with(org('a'), "one"), with(org('a'), "two"));
    store.create_application(first.clone()).await.unwrap();
    store.create_application(other.clone()).await.unwrap();
    let conflict = Err(WriteError::Conflict { field: "uid" });
    assert_eq!(store.create_application(with(org('a'), "one")).await, conflict);
    store.create_application(with(org('b'), "one")).await.unwrap();
    // Not having one is no conflict.
    for _ in 0..2 {
        store.create_application(new_application(store, org('a'))).await.unwrap();
    }
    let take = |text: &'static str| {
        Box::new(move |application: &mut Application| {
            application.uid = uid(text);
            Ok(())
        })
    };
    assert_eq!(store.update_application(other.id, take("one")).await, Err(WriteError::Conflict { field: "uid" }));
    assert_eq!(find(store, &org('a'), Reference::Uid("two")).await, Some(other.clone()));
    store.update_application(other.id, take("two")).await.unwrap();

    store.delete_application(first.id, NOW).await.unwrap();
    assert_eq!(find(store, &org('a'), Reference::Uid("one")).await, None);
    store.update_application(other.id, take("one")).await.unwrap();
    let successor = with(org('a'), "two");
    store.create_application(successor.clone()).await.unwrap();
    harness.reopen().await;
    assert_eq!(find(harness.store(), &org('a'), Reference::Uid("two")).await, Some(successor));
    assert_eq!(
        harness.store().create_application(Application { uid: uid("one"), ..new_application(harness.store(), org('a')) }).await,
        conflict
    );
}

pub async fn refused_changes_leave_everything_as_it_was(harness: &mut dyn Harness) {
    let store = harness.store();
    let scene = scene(store, 1).await;
    let event_type = new_event_type(store, org('a'), "order.paid");
    store.create_event_type(event_type.clone()).await.unwrap();
    let before = store.application_by_id(scene.application).await.unwrap();
    let refusal = || Invalid::new("no");
    let refused = WriteError::Refused(refusal());

    let change = store
        .update_application(
            scene.application,
            Box::new(move |one| {
                one.name.clear();
                Err(refusal())
            }),
        )
        .await;
    assert_eq!(change, Err(refused.clone()));
    let change = store
        .update_endpoint(
            scene.application,
            scene.endpoints[0],
            Box::new(move |one| {
                one.url.clear();
                Err(refusal())
            }),
        )
        .await;
    assert_eq!(change, Err(refused.clone()));
    let change = store
        .update_event_type(
            &org('a'),
            "order.paid",
            Box::new(move |one| {
                one.archived = true;
                Err(refusal())
            }),
        )
        .await;
    assert_eq!(change, Err(refused.clone()));

    assert_eq!(store.application_by_id(scene.application).await.unwrap(), before);
    assert_eq!(store.event_type(&org('a'), "order.paid").await.unwrap().as_deref(), Some(&event_type));
}

pub async fn endpoints_stand_oldest_first_with_all_they_have(harness: &mut dyn Harness) {
    let store = harness.store();
    let application = scene(store, 0).await.application;
    let mut endpoints: Vec<_> = (0..4).map(|_| new_endpoint(store, application)).collect();
    endpoints[1].uid = uid("mine");
    endpoints[2].disabled = Disabled::Automatically { failing_since: Some(at(3)) };
    (endpoints[3].event_types, endpoints[3].channels, endpoints[3].retry_schedule, endpoints[3].throttle_rate) = (None, None, None, None);
    (endpoints[3].headers, endpoints[3].ordered, endpoints[3].concurrency) = (vec![], false, None);
    // Whatever the order in which they come.
    for index in [2, 0, 3, 1] {
        store.create_endpoint(endpoints[index].clone()).await.unwrap();
    }
    let view = store.application_by_id(application).await.unwrap().unwrap();
    assert_eq!(view.endpoints.iter().map(|endpoint| (**endpoint).clone()).collect::<Vec<_>>(), endpoints);
    assert_eq!(view.endpoint_by_uid("mine").map(|endpoint| endpoint.id), Some(endpoints[1].id));
    assert_eq!(view.endpoint(endpoints[3].id).map(|endpoint| &**endpoint), Some(&endpoints[3]));

    let change = |endpoint: &mut hookpost_domain::Endpoint| {
        endpoint.secrets.current = SigningSecret::Hmac256(vec![9; 32]);
        (endpoint.disabled, endpoint.updated_at) = (Disabled::ByUser, at(7));
        Ok(())
    };
    let changed = store.update_endpoint(application, endpoints[0].id, Box::new(change)).await.unwrap();
    store.delete_endpoint(application, endpoints[2].id, NOW).await.unwrap();
    let expected = vec![changed, endpoints[1].clone(), endpoints[3].clone()];
    for _ in 0..2 {
        let view = harness.store().application_by_id(application).await.unwrap().unwrap();
        assert_eq!(view.endpoints.iter().map(|endpoint| (**endpoint).clone()).collect::<Vec<_>>(), expected);
        harness.reopen().await;
    }
}

pub async fn uids_of_endpoints_are_unique_per_application(harness: &mut dyn Harness) {
    let store = harness.store();
    let (one, other) = (scene(store, 0).await.application, scene(store, 0).await.application);
    let with = |application, text| hookpost_domain::Endpoint { uid: uid(text), ..new_endpoint(store, application) };
    let first = with(one, "a");
    store.create_endpoint(first.clone()).await.unwrap();
    store.create_endpoint(with(other, "a")).await.unwrap();
    let second = with(one, "b");
    store.create_endpoint(second.clone()).await.unwrap();
    assert_eq!(store.create_endpoint(with(one, "a")).await, Err(WriteError::Conflict { field: "uid" }));
    let take = || {
        Box::new(|endpoint: &mut hookpost_domain::Endpoint| {
            endpoint.uid = uid("a");
            Ok(())
        })
    };
    assert_eq!(store.update_endpoint(one, second.id, take()).await, Err(WriteError::Conflict { field: "uid" }));
    store.delete_endpoint(one, first.id, NOW).await.unwrap();
    assert_eq!(store.update_endpoint(one, second.id, take()).await.unwrap().uid, uid("a"));
}

pub async fn what_is_not_there_is_not_found(harness: &mut dyn Harness) {
    let store = harness.store();
    let (scene, other) = (scene(store, 1).await, scene(store, 1).await);
    let row = store.new_row_id(NOW);
    let (application, endpoint) = (ApplicationId::from_row(row), EndpointId::from_row(row));
    let ok = || Box::new(|_: &mut _| Ok(()));
    assert_eq!(store.update_application(application, ok()).await, Err(WriteError::NotFound));
    assert_eq!(store.delete_application(application, NOW).await, Err(WriteError::NotFound));
    assert_eq!(store.create_endpoint(new_endpoint(store, application)).await, Err(WriteError::NotFound));
    for (application, endpoint) in [(application, endpoint), (scene.application, endpoint), (scene.application, other.endpoints[0])] {
        let change = Box::new(|_: &mut hookpost_domain::Endpoint| Ok(()));
        assert_eq!(store.update_endpoint(application, endpoint, change).await, Err(WriteError::NotFound));
        assert_eq!(store.delete_endpoint(application, endpoint, NOW).await, Err(WriteError::NotFound));
    }
    for name in ["unknown", "no name at all!", ""] {
        assert_eq!(store.event_type(&org('a'), name).await.unwrap(), None);
        let change = Box::new(|_: &mut hookpost_domain::EventType| Ok(()));
        assert_eq!(store.update_event_type(&org('a'), name, change).await, Err(WriteError::NotFound));
        assert_eq!(store.delete_event_type(&org('a'), name).await, Err(WriteError::NotFound));
    }
    assert_eq!(store.delete_api_key(None, ApiKeyId::from_row(row)).await, Err(WriteError::NotFound));
    let change = Box::new(|_: &mut BackgroundTask| Ok(()));
    assert_eq!(store.update_task(TaskId::from_row(row), change).await, Err(WriteError::NotFound));
    assert_eq!(store.task(TaskId::from_row(row)).await.unwrap(), None);
}

pub async fn applications_are_listed_in_pages(harness: &mut dyn Harness) {
    let store = harness.store();
    let mut own = Vec::new();
    for letter in ['a', 'b', 'a', 'a', 'b', 'a', 'a', 'a'] {
        let application = new_application(store, org(letter));
        own.extend((letter == 'a').then_some(application.id));
        store.create_application(application).await.unwrap();
    }
    let gone = own.remove(2);
    store.delete_application(gone, NOW).await.unwrap();
    check_pages(&own, &[gone], async |page| {
        let listed = store.applications(&org('a'), page).await.unwrap();
        (listed.items.iter().map(|application| application.id).collect(), listed.done)
    })
    .await;
}

pub async fn event_types_are_kept_per_tenant(harness: &mut dyn Harness) {
    let store = harness.store();
    let event_type = new_event_type(store, org('a'), "order.paid");
    store.create_event_type(event_type.clone()).await.unwrap();
    assert_eq!(store.event_type(&org('a'), "order.paid").await.unwrap().as_deref(), Some(&event_type));
    assert_eq!(store.event_type(&org('b'), "order.paid").await.unwrap(), None);
    let again = new_event_type(store, org('a'), "order.paid");
    assert_eq!(store.create_event_type(again).await, Err(WriteError::Conflict { field: "name" }));
    store.create_event_type(new_event_type(store, org('b'), "order.paid")).await.unwrap();

    let change = |one: &mut hookpost_domain::EventType| {
        (one.description, one.archived, one.schemas, one.retry_schedule) = ("changed".into(), true, None, None);
        Ok(())
    };
    let changed = store.update_event_type(&org('a'), "order.paid", Box::new(change)).await.unwrap();
    harness.reopen().await;
    let store = harness.store();
    assert_eq!(store.event_type(&org('a'), "order.paid").await.unwrap().as_deref(), Some(&changed));
    store.delete_event_type(&org('a'), "order.paid").await.unwrap();
    assert_eq!(store.event_type(&org('a'), "order.paid").await.unwrap(), None);
    assert!(store.event_type(&org('b'), "order.paid").await.unwrap().is_some());
}

pub async fn event_types_are_listed_in_pages(harness: &mut dyn Harness) {
    let store = harness.store();
    let names = ["a", "a.b", "B", "b-c", "b.a", "c"];
    for name in names.iter().rev() {
        let event_type = new_event_type(store, org('a'), name);
        store.create_event_type(hookpost_domain::EventType { archived: *name == "b.a", ..event_type }).await.unwrap();
    }
    store.create_event_type(new_event_type(store, org('b'), "a.c")).await.unwrap();
    let parse = |name: &str| EventTypeName::parse(name).unwrap();
    for include_archived in [false, true] {
        let mut expected: Vec<_> = names.into_iter().filter(|name| include_archived || *name != "b.a").map(parse).collect();
        expected.sort();
        check_pages(&expected, &[parse("a.a"), parse("b.a"), parse("z")], async |page| {
            let listed = store.event_types(&org('a'), include_archived, page).await.unwrap();
            (listed.items.into_iter().map(|event_type| event_type.name).collect(), listed.done)
        })
        .await;
    }
}

pub async fn tasks_are_kept_and_listed(harness: &mut dyn Harness) {
    let store = harness.store();
    let endpoint = EndpointId::from_row(store.new_row_id(NOW));
    let application = ApplicationId::from_row(store.new_row_id(NOW));
    let works = [
        TaskWork::Recover { endpoint, since: NOW, until: at(9) },
        TaskWork::ReplayMissing { endpoint, since: NOW, until: at(9) },
        TaskWork::BulkReplay {
            endpoint,
            since: NOW,
            until: at(9),
            filter: ReplayFilter { status_code_class: Some(500), ..Default::default() },
        },
        TaskWork::ExpungeAllContents { application },
        TaskWork::Recover { endpoint, since: NOW, until: at(9) },
        TaskWork::Recover { endpoint, since: NOW, until: at(9) },
    ];
    let mut tasks = Vec::new();
    for (index, work) in works.into_iter().enumerate() {
        let task = BackgroundTask {
            id: TaskId::from_row(store.new_row_id(NOW)),
            org: org(if index == 5 { 'b' } else { 'a' }),
            application: Some(application),
            work,
            status: TaskStatus::Running,
            result: None,
            progress: TaskProgress::default(),
            created_at: NOW,
            updated_at: NOW,
        };
        store.create_task(task.clone()).await.unwrap();
        tasks.push(task);
    }
    let finish = |task: &mut BackgroundTask| {
        (task.status, task.progress.affected, task.updated_at) = (TaskStatus::Finished, 7, at(4));
        Ok(())
    };
    tasks[1] = store.update_task(tasks[1].id, Box::new(finish)).await.unwrap();
    assert_eq!((tasks[1].status, tasks[1].progress.affected), (TaskStatus::Finished, 7));
    let refused = store
        .update_task(
            tasks[0].id,
            Box::new(|task| {
                task.status = TaskStatus::Failed;
                Err(Invalid::new("no"))
            }),
        )
        .await;
    assert_eq!(refused, Err(WriteError::Refused(Invalid::new("no"))));
    tasks[2] = store
        .update_task(
            tasks[2].id,
            Box::new(|task| {
                task.status = TaskStatus::Canceled;
                Ok(())
            }),
        )
        .await
        .unwrap();

    harness.reopen().await;
    let store = harness.store();
    for task in &tasks {
        assert_eq!(store.task(task.id).await.unwrap().as_ref(), Some(task));
    }
    let ids = |indexes: &[usize]| indexes.iter().map(|index| tasks[*index].id).collect::<Vec<_>>();
    let list = async |org: Option<&OrgId>, filter: TaskFilter, page| {
        let listed = store.tasks(org, filter, page).await.unwrap();
        (listed.items.into_iter().map(|task| task.id).collect::<Vec<_>>(), listed.done)
    };
    check_pages(&ids(&[0, 1, 2, 3, 4, 5]), &[], async |page| list(None, TaskFilter::default(), page).await).await;
    check_pages(&ids(&[0, 1, 2, 3, 4]), &[], async |page| list(Some(&org('a')), TaskFilter::default(), page).await).await;
    let check = async |status, kind: Option<&str>, expected: &[usize]| {
        let filter = TaskFilter { status, kind: kind.map(str::to_owned) };
        let listed = list(None, filter, PageRequest::first(9, Order::Ascending)).await;
        assert_eq!(listed, (ids(expected), true), "{status:?} {kind:?}");
    };
    check(Some(TaskStatus::Running), None, &[0, 3, 4, 5]).await;
    check(Some(TaskStatus::Finished), None, &[1]).await;
    // Canceled is shown as failed.
    check(Some(TaskStatus::Failed), None, &[2]).await;
    check(None, Some("endpoint.recover"), &[0, 4, 5]).await;
    check(None, Some("endpoint.replay"), &[1]).await;
    check(Some(TaskStatus::Running), Some("endpoint.replay"), &[]).await;
}

pub async fn every_change_shows_in_the_version(harness: &mut dyn Harness) {
    let store = harness.store();
    let mut last = store.version();
    let mut changed = |what: &str| {
        let version = store.version();
        assert_ne!(version, last, "{what}");
        last = version;
    };
    let application = scene(store, 0).await.application;
    changed("application created");
    store.update_application(application, Box::new(|_| Ok(()))).await.unwrap();
    changed("application changed");
    let endpoint = new_endpoint(store, application);
    let id = endpoint.id;
    store.create_endpoint(endpoint).await.unwrap();
    changed("endpoint created");
    store.update_endpoint(application, id, Box::new(|_| Ok(()))).await.unwrap();
    changed("endpoint changed");
    store.delete_endpoint(application, id, NOW).await.unwrap();
    changed("endpoint deleted");
    store.delete_application(application, NOW).await.unwrap();
    changed("application deleted");
    store.create_event_type(new_event_type(store, org('a'), "a")).await.unwrap();
    changed("event type created");
    store.update_event_type(&org('a'), "a", Box::new(|_| Ok(()))).await.unwrap();
    changed("event type changed");
    store.delete_event_type(&org('a'), "a").await.unwrap();
    changed("event type deleted");
    let key = new_api_key(store, org('a'), 1);
    let id = key.id;
    store.create_api_key(key).await.unwrap();
    changed("key created");
    store.update_api_key(&org('a'), id, Box::new(|_| Ok(()))).await.unwrap();
    changed("key changed");
    store.delete_api_key(None, id).await.unwrap();
    changed("key deleted");
    store.revoke(Revocation { target: RevocationTarget::Token("t".into()), at: NOW, forget_at: at(1) }).await.unwrap();
    changed("token revoked");
}

pub async fn the_catalog_survives_a_crash(harness: &mut dyn Harness) {
    let store = harness.store();
    let kept = scene(store, 3).await;
    let gone = scene(store, 1).await;
    store.delete_application(gone.application, NOW).await.unwrap();
    let before: Arc<_> = store.application_by_id(kept.application).await.unwrap().unwrap();
    harness.reopen().await;
    let store = harness.store();
    assert_eq!(store.application_by_id(kept.application).await.unwrap(), Some(before));
    assert_eq!(store.application_by_id(gone.application).await.unwrap(), None);
}
