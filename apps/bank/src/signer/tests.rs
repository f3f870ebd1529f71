use std::time::Duration;

use farthing_core::amount::Currency;
use farthing_core::cert::{CERTIFICATE_LIFE_MAX, Certificate, Certified, Limits, RoleName};
use farthing_core::refusal::Code;
use farthing_core::seal::SealPublic;
use farthing_core::sign::SecretKey;
use farthing_core::time::{SKEW, Span, Time, Window};
use farthing_core::wire;
use farthing_driver::ManualClock;
use farthing_net::frame::{FrameReader, FrameWriter};

use super::key::CertifyingKey;
use super::*;
use crate::home::{BankHome, Config, Unlock};

const NOW: Time = Time::from_millis(1_800_000_000_000);

fn certificate(from: Time, life: Span) -> Certificate {
    let amount = Currency::XTS.micros(5).unwrap();
    Certificate {
        holder: PeerId([1; 32]),
        seal: SealPublic([2; 32]),
        role: RoleName::Peer,
        serial: 1,
        window: Window { from, to: from.after(life) },
        limits: Limits { per_item: amount, total: amount },
        log_head: [0; 32],
        deposit: amount,
    }
}

fn home(dir: &tempfile::TempDir, unlock: &Unlock) -> BankHome {
    BankHome::init(dir.path().join("bank"), Config::play("Test bank", Currency::XTS), unlock).unwrap()
}

#[test]
fn signer_refuses_what_lasts_too_long_begins_too_late_or_comes_too_often() {
    let mut key = CertifyingKey::new(SecretKey::from_seed(&[1; 32]), NetworkId([1; 16]));
    let mut code = |from, life| key.sign(NOW, &certificate(from, life)).map(drop).map_err(|why| why.code);
    assert_eq!(code(NOW, CERTIFICATE_LIFE_MAX), Ok(()));
    assert_eq!(code(NOW, Span::from_millis(CERTIFICATE_LIFE_MAX.as_millis() + 1)), Err(Code::Limit));
    assert_eq!(code(NOW, Span::from_millis(0)), Err(Code::Limit));
    assert_eq!(code(NOW.after(SKEW), Span::from_hours(1)), Ok(()));
    assert_eq!(code(NOW.after(SKEW).after(Span::from_millis(1)), Span::from_hours(1)), Err(Code::NotYet));
    let good = certificate(NOW, Span::from_hours(1));
    // Two were signed above.
    for _ in 2..SIGNATURES_PER_MINUTE {
        assert!(key.sign(NOW, &good).is_ok());
    }
    assert_eq!(key.sign(NOW, &good).unwrap_err().code, Code::Rate);
    assert!(key.sign(NOW.after(Span::from_secs(60)), &good).is_ok());
}

/// Runs a signer over pipes in memory and gives what it says to these frames.
async fn hear(home: &BankHome, frames: Vec<Vec<u8>>) -> Vec<Said> {
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let (input, output) = tokio::io::split(theirs);
    let path = home.path().to_owned();
    let signer = tokio::spawn(async move { serve(&path, input, output, ManualClock::at(NOW)).await });
    let (answers, asks) = tokio::io::split(ours);
    let mut asks = FrameWriter::new(asks);
    for frame in frames {
        asks.feed(&frame).await.unwrap();
    }
    asks.close().await.unwrap();
    let mut said = Vec::new();
    let mut answers = FrameReader::new(answers);
    while let Some(frame) = answers.next().await.unwrap() {
        said.push(wire::decode(&frame).unwrap());
    }
    signer.await.unwrap().unwrap();
    said
}

fn greeting(home: &BankHome, passphrase: Option<&str>) -> Vec<u8> {
    wire::encode(&Greeting { network: home.network(), passphrase: passphrase.map(str::to_owned) })
}

#[tokio::test]
async fn signer_signs_certificates_and_answers_rubbish() {
    let dir = tempfile::tempdir().unwrap();
    let unlock = Unlock::passphrase("correct horse".to_owned()).unwrap();
    let home = home(&dir, &unlock);
    let body = certificate(NOW, Span::from_hours(1));
    let frames =
        vec![greeting(&home, Some("correct horse")), b"rubbish".to_vec(), wire::encode(&body), wire::encode(&body)];
    let said = hear(&home, frames).await;
    let [Said::Ready(authority), Said::Refused(rubbish), Said::Signed(one), Said::Signed(two)] = &said[..] else {
        panic!("{} answers", said.len());
    };
    assert_eq!(*authority, home.authority());
    assert_eq!(rubbish.code, Code::Malformed);
    assert_eq!(wire::encode(one), wire::encode(two));
    assert!(Certified::check(one.clone(), home.network(), home.authority(), NOW).is_ok());
}

#[tokio::test]
async fn signer_refuses_to_start_with_a_wrong_passphrase_and_says_none() {
    let dir = tempfile::tempdir().unwrap();
    let home = home(&dir, &Unlock::passphrase("correct horse".to_owned()).unwrap());
    for wrong in [None, Some("battery staple")] {
        let said = hear(&home, vec![greeting(&home, wrong)]).await;
        let [Said::Refused(why)] = &said[..] else { panic!("{} answers", said.len()) };
        assert!(!why.detail.contains("battery"), "{}", why.detail);
    }
}

fn child(home: &BankHome, program: &str, args: &[&str]) -> ChildSigner {
    let command = SignerCommand { program: program.into(), args: args.iter().map(Into::into).collect() };
    ChildSigner::new(home, Unlock::insecure(), command).patient_for(Duration::from_secs(3))
}

#[tokio::test]
async fn server_survives_a_signer_that_is_missing_dies_or_talks_nonsense() {
    let dir = tempfile::tempdir().unwrap();
    let home = home(&dir, &Unlock::insecure());
    for (program, args) in [("/nonexistent/signer", &[][..]), ("/bin/false", &[]), ("/bin/cat", &[])] {
        let signer = child(&home, program, args);
        let outcome = signer.sign(certificate(NOW, Span::from_hours(1))).await;
        assert!(matches!(outcome, Err(SignerError::Down(_))), "{program}: {outcome:?}");
    }
}

/// A shell script that plays the signer: it answers with prepared frames, whatever it is asked.
fn script(dir: &tempfile::TempDir, name: &str, frames: &[Said], then: &str) -> String {
    let mut bytes = Vec::new();
    for said in frames {
        let frame = wire::encode(said);
        bytes.extend_from_slice(&u32::try_from(frame.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(&frame);
    }
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    format!("/bin/cat '{}'; {then}", path.display())
}

#[tokio::test]
async fn server_starts_a_signer_again_that_died_and_refuses_one_that_forges() {
    let dir = tempfile::tempdir().unwrap();
    let home = home(&dir, &Unlock::insecure());
    let body = certificate(NOW, Span::from_hours(1));
    let authority = crate::home::open_authority(home.path(), &Unlock::insecure()).unwrap();
    let ready = || Said::Ready(home.authority());
    let signed = Said::Signed(authority.sign(home.network(), &body));
    // Dies after each signature, once it has read what it was sent: every certificate takes a new process.
    let sent: usize = [greeting(&home, None), wire::encode(&body)].iter().map(|frame| 4 + frame.len()).sum();
    let dies = script(&dir, "dies", &[ready(), signed], &format!("head -c {sent} > /dev/null"));
    let signer = child(&home, "/bin/sh", &["-c", &dies]);
    for _ in 0..3 {
        assert!(signer.sign(body.clone()).await.is_ok());
    }
    let thief = SecretKey::from_seed(&[9; 32]);
    let forged = Said::Signed(thief.sign(home.network(), &body));
    let other = Said::Signed(authority.sign(home.network(), &Certificate { serial: 2, ..body.clone() }));
    for (name, answer) in [("forged", forged), ("other", other)] {
        let script = script(&dir, name, &[ready(), answer], "/bin/cat > /dev/null");
        let signer = child(&home, "/bin/sh", &["-c", &script]);
        assert!(matches!(signer.sign(body.clone()).await, Err(SignerError::Down(_))), "{name}");
    }
    // Says nothing more after its greeting.
    let silent = script(&dir, "silent", &[ready()], "/bin/cat > /dev/null");
    let signer = child(&home, "/bin/sh", &["-c", &silent]);
    assert!(matches!(signer.sign(body.clone()).await, Err(SignerError::Down(_))));
}
