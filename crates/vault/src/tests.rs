//! What sealing promises.

use super::*;

fn key(fill: u8) -> MasterKey {
    MasterKey::of([fill; KEY_LEN])
}

fn vault(fill: u8) -> Vault {
    Vault::new(key(fill))
}

fn identity(version: i64) -> Identity<'static> {
    Identity { noun: "credential", id: "con_1", user: "usr_1", version }
}

fn secret() -> SecretString {
    SecretString::from("sk-planted-0123456789")
}

#[test]
fn what_is_sealed_opens_again() {
    let vault = vault(1);
    let sealed = vault.seal(&identity(1), &secret()).unwrap();
    assert_eq!(vault.open(&identity(1), &sealed.bytes).unwrap().expose_secret(), "sk-planted-0123456789");
    assert_eq!(sealed.key_id, vault.key_id());
    assert_eq!(sealed.bytes.len(), OVERHEAD + secret().expose_secret().len());
}

#[test]
fn a_sealed_value_does_not_contain_its_secret_and_never_repeats() {
    let vault = vault(1);
    let (a, b) = (vault.seal(&identity(1), &secret()).unwrap(), vault.seal(&identity(1), &secret()).unwrap());
    assert!(!a.bytes.windows(6).any(|w| b"planted"[..6] == *w));
    assert!(a.bytes != b.bytes);
}

#[test]
fn a_sealed_value_opens_for_its_own_identity_only() {
    let vault = vault(1);
    let sealed = vault.seal(&identity(1), &secret()).unwrap();
    let others = [
        Identity { version: 2, ..identity(1) },
        Identity { id: "con_2", ..identity(1) },
        Identity { user: "usr_2", ..identity(1) },
        Identity { noun: "metadata", ..identity(1) },
        Identity { id: "con_1usr_1", user: "", ..identity(1) },
    ];
    for other in others {
        assert_eq!(vault.open(&other, &sealed.bytes).err(), Some(OpenError::Refused), "{other:?}");
    }
}

#[test]
fn a_changed_byte_anywhere_is_noticed() {
    let vault = vault(1);
    let sealed = vault.seal(&identity(1), &secret()).unwrap().bytes;
    for index in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[index] ^= 1;
        assert!(vault.open(&identity(1), &changed).is_err(), "byte {index}");
    }
    for len in 0..sealed.len() {
        assert!(vault.open(&identity(1), &sealed[..len]).is_err(), "length {len}");
    }
}

#[test]
fn another_master_key_is_named() {
    let sealed = vault(1).seal(&identity(1), &secret()).unwrap();
    let error = vault(2).open(&identity(1), &sealed.bytes).err();
    assert_eq!(error, Some(OpenError::OtherKey { found: vault(1).key_id(), loaded: vault(2).key_id() }));
}

#[test]
fn a_fingerprint_depends_on_the_secret_and_the_master_key() {
    assert_eq!(vault(1).fingerprint(&secret()), vault(1).fingerprint(&secret()));
    assert_ne!(vault(1).fingerprint(&secret()), vault(2).fingerprint(&secret()));
    assert_ne!(vault(1).fingerprint(&secret()), vault(1).fingerprint(&SecretString::from("other")));
}

#[test]
fn the_end_of_a_short_secret_is_not_shown() {
    assert_eq!(last_four(&secret()), "6789");
    assert_eq!(last_four(&SecretString::from("short-key")), "");
}

#[test]
fn nothing_printed_shows_a_key() {
    let shown = format!("{:?} {:?}", vault(7), secret());
    assert!(!shown.contains("07070707") && !shown.contains("planted"), "{shown}");
}

#[test]
fn while_keys_change_both_open_and_the_new_one_seals() {
    let before = vault(1).seal(&identity(1), &secret()).unwrap();
    let both = Vault::new(key(2)).and_opens(key(1));
    assert_eq!(both.open(&identity(1), &before.bytes).unwrap().expose_secret(), secret().expose_secret());
    let after = both.seal(&identity(1), &secret()).unwrap();
    assert_eq!((after.key_id.as_str(), wrapped_by(&after.bytes)), (vault(2).key_id().as_str(), Ok(vault(2).key_id())));
    assert!(vault(2).open(&identity(1), &after.bytes).is_ok());
}

#[test]
fn what_is_wrapped_anew_opens_with_the_new_key_alone_and_is_otherwise_the_same() {
    let before = vault(1).seal(&identity(1), &secret()).unwrap();
    let both = Vault::new(key(2)).and_opens(key(1));
    let after = both.rewrap(&identity(1), &before.bytes).unwrap();
    assert_eq!(after.key_id, vault(2).key_id());
    assert_eq!(vault(2).open(&identity(1), &after.bytes).unwrap().expose_secret(), secret().expose_secret());
    assert!(vault(1).open(&identity(1), &after.bytes).is_err());
    let value = 1 + KEY_ID_LEN + NONCE_LEN + KEY_LEN + TAG_LEN;
    assert_eq!(after.bytes[value..], before.bytes[value..], "the value is not sealed anew");
    assert_ne!(after.bytes[..value], before.bytes[..value]);
}

#[test]
fn what_was_changed_or_belongs_elsewhere_is_not_wrapped_anew() {
    let sealed = vault(1).seal(&identity(1), &secret()).unwrap().bytes;
    let both = Vault::new(key(2)).and_opens(key(1));
    assert_eq!(both.rewrap(&identity(2), &sealed).err(), Some(RewrapError::Open(OpenError::Refused)));
    assert_eq!(both.rewrap(&identity(1), &sealed[1..]).err(), Some(RewrapError::Open(OpenError::Malformed)));
    let stranger = Vault::new(key(2)).and_opens(key(3)).rewrap(&identity(1), &sealed);
    assert!(matches!(stranger, Err(RewrapError::Open(OpenError::OtherKey { .. }))));
}

#[test]
fn a_fingerprint_is_still_the_same_after_the_master_key_changed() {
    let next = key(1).successor().unwrap();
    assert_ne!(next.id(), key(1).id());
    assert_eq!(Vault::new(next).fingerprint(&secret()), vault(1).fingerprint(&secret()));
}

#[test]
fn a_vault_that_seals_with_another_key_still_opens_what_the_one_before_wrapped() {
    let vault = vault(1);
    let before = vault.seal(&identity(1), &secret()).unwrap();
    vault.seal_with(key(2));
    vault.seal_with(key(2));
    let after = vault.seal(&identity(2), &secret()).unwrap();
    assert_eq!((vault.key_id(), &after.key_id), (key(2).id(), &key(2).id()));
    assert_eq!(vault.open(&identity(1), &before.bytes).unwrap().expose_secret(), secret().expose_secret());
    assert!(Vault::new(key(2)).open(&identity(2), &after.bytes).is_ok());
    assert!(Vault::new(key(1)).open(&identity(2), &after.bytes).is_err());
}
