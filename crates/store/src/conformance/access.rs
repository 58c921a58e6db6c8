//! Keys, and tokens that were ended before their time.

use hookpost_domain::access::{Revocation, RevocationTarget};
use hookpost_domain::{ApiKey, ApiKeyId, ApplicationId, Invalid, OrgId};

use super::Harness;
use super::fixture::*;
use crate::WriteError;

pub async fn api_keys_are_found_by_hash(harness: &mut dyn Harness) {
    let store = harness.store();
    let keys: Vec<_> =
        [('a', 1), ('a', 2), ('b', 3), ('a', 4), ('a', 5)].map(|(letter, byte)| new_api_key(store, org(letter), byte)).into();
    for key in &keys {
        store.create_api_key(key.clone()).await.unwrap();
    }
    harness.reopen().await;
    let store = harness.store();
    for key in &keys {
        assert_eq!(store.api_key_by_hash(key.key_sha256).await.unwrap().as_deref(), Some(key));
    }
    assert_eq!(store.api_key_by_hash([9; 32]).await.unwrap(), None);
    let list = async |org: Option<&OrgId>, page| {
        let listed = store.api_keys(org, page).await.unwrap();
        (listed.items.into_iter().map(|key| key.id).collect(), listed.done)
    };
    let ids =
        |letter: Option<char>| keys.iter().filter(|key| letter.is_none_or(|l| key.org == org(l))).map(|key| key.id).collect::<Vec<_>>();
    check_pages(&ids(None), &[], async |page| list(None, page).await).await;
    check_pages(&ids(Some('a')), &[], async |page| list(Some(&org('a')), page).await).await;

    assert_eq!(store.delete_api_key(Some(&org('b')), keys[0].id).await, Err(WriteError::NotFound));
    store.delete_api_key(Some(&org('a')), keys[0].id).await.unwrap();
    store.delete_api_key(None, keys[1].id).await.unwrap();
    assert_eq!(store.api_key_by_hash([1; 32]).await.unwrap(), None);
    harness.reopen().await;
    assert_eq!(harness.store().api_key_by_hash([2; 32]).await.unwrap(), None);
    assert!(harness.store().api_key_by_hash([3; 32]).await.unwrap().is_some());
}

pub async fn api_keys_are_changed_in_place_or_not_at_all(harness: &mut dyn Harness) {
    let store = harness.store();
    let key = new_api_key(store, org('a'), 1);
    store.create_api_key(key.clone()).await.unwrap();
    let change = |refuse: bool| {
        Box::new(move |key: &mut ApiKey| {
            (key.name, key.scopes, key.expires_at) = ("renamed".into(), vec![], None);
            if refuse { Err(Invalid::new("no")) } else { Ok(()) }
        })
    };
    // Also as it is remembered.
    assert_eq!(store.api_key_by_hash([1; 32]).await.unwrap().as_deref(), Some(&key));
    assert_eq!(store.update_api_key(&org('b'), key.id, change(false)).await, Err(WriteError::NotFound));
    let unknown = ApiKeyId::from_row(store.new_row_id(NOW));
    assert_eq!(store.update_api_key(&org('a'), unknown, change(false)).await, Err(WriteError::NotFound));
    assert_eq!(store.update_api_key(&org('a'), key.id, change(true)).await, Err(WriteError::Refused(Invalid::new("no"))));
    assert_eq!(store.api_key(&org('a'), key.id).await.unwrap().as_ref(), Some(&key));
    let changed = store.update_api_key(&org('a'), key.id, change(false)).await.unwrap();
    assert_eq!(changed, ApiKey { name: "renamed".into(), scopes: vec![], expires_at: None, ..key });
    for _ in 0..2 {
        let store = harness.store();
        assert_eq!(store.api_key_by_hash([1; 32]).await.unwrap().as_deref(), Some(&changed));
        assert_eq!(store.api_key(&org('a'), changed.id).await.unwrap().as_ref(), Some(&changed));
        assert_eq!(store.api_key(&org('b'), changed.id).await.unwrap(), None);
        assert_eq!(store.api_key(&org('a'), unknown).await.unwrap(), None);
        harness.reopen().await;
    }
}

pub async fn revocations_are_remembered(harness: &mut dyn Harness) {
    let application = ApplicationId::from_row(harness.store().new_row_id(NOW));
    let other = ApplicationId::from_row(harness.store().new_row_id(NOW));
    let targets = [
        RevocationTarget::Token("t-1".into()),
        RevocationTarget::Application(application),
        RevocationTarget::Session(application, "s-1".into()),
    ];
    for (seconds, target) in (1..).zip(&targets) {
        let revocation = Revocation { target: target.clone(), at: at(seconds), forget_at: at(100) };
        harness.store().revoke(revocation).await.unwrap();
    }
    // The latest counts, and an earlier one does not take it back.
    for seconds in [30, 20] {
        let revocation = Revocation { target: targets[1].clone(), at: at(seconds), forget_at: at(seconds + 100) };
        harness.store().revoke(revocation).await.unwrap();
    }
    harness.reopen().await;
    let store = harness.store();
    for (target, time) in targets.iter().zip([at(1), at(30), at(3)]) {
        assert_eq!(store.revoked_at(target).await.unwrap(), Some(time));
    }
    for target in [
        RevocationTarget::Token("t-2".into()),
        RevocationTarget::Application(other),
        RevocationTarget::Session(application, "s-2".into()),
        RevocationTarget::Session(other, "s-1".into()),
    ] {
        assert_eq!(store.revoked_at(&target).await.unwrap(), None);
    }
    while store.forget(policy(DAY), at(110)).await.unwrap().more {}
    assert_eq!(store.revoked_at(&targets[1]).await.unwrap(), Some(at(30)), "not before its time");
}
