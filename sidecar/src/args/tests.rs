use super::*;
use crate::config::DiskConfig;

fn config(arguments: &[&str]) -> Result<Config, String> {
    let arguments = ["ostler-sidecar"].iter().chain(arguments);
    match Arguments::try_parse_from(arguments).map_err(|error| error.to_string())?.command {
        Command::Run(run) => run.into_config().map_err(|error| error.to_string()),
        Command::Serve(serve) => Ok(serve.into_config()),
        Command::Unpickle { .. } | Command::Version => Err("no configuration".to_owned()),
    }
}

const RUN: [&str; 9] = [
    "run",
    "--plan=/etc/ostler/plan/plan.json",
    "--cache-dir=/var/cache/ostler",
    "--deployment=video",
    "--plan-config-map=video-plan",
    "--pod-name=video-0",
    "--pod-namespace=default",
    "--pod-uid=u",
    "--allow-pickle=true",
];

#[test]
fn the_flags_of_a_pod_become_its_configuration() {
    let flags = [RUN.as_slice(), &["--memory-host=1000", "--evict-above=90", "--evict-to=50"]].concat();
    let config = config(&flags).unwrap();
    assert!(config.allow_pickle && config.packed_cache);
    let Origin::Pod { budget, identity, .. } = config.origin else { panic!("not a pod") };
    assert_eq!(budget, Budget { bytes: 1000, evict_above_percent: 90, evict_to_percent: 50 });
    assert_eq!((identity.name.as_str(), identity.container.as_str()), ("video-0", "ostler-sidecar"));
}

#[test]
fn a_pod_keeps_room_and_serve_deletes_nothing_unless_it_is_told_to() {
    let pod = |flags: &[&str]| config(&[RUN.as_slice(), &["--memory-host=1000"], flags].concat());
    assert_eq!(
        pod(&[]).unwrap().disk,
        DiskConfig { keep_free_percent: Some(10), limit_bytes: None, scrub: true }
    );
    let bounded = pod(&["--cache-keep-free=20", "--cache-limit=1000"]).unwrap();
    assert_eq!(
        bounded.disk,
        DiskConfig { keep_free_percent: Some(20), limit_bytes: Some(1000), scrub: true }
    );
    for percent in ["0", "51", "ten"] {
        let error = pod(&[&format!("--cache-keep-free={percent}")]).unwrap_err();
        assert!(error.contains("--cache-keep-free"), "{error}");
    }
    let serve = |flags: &[&str]| config(&[&["serve", "file.yaml"], flags].concat()).unwrap().disk;
    assert_eq!(serve(&[]), DiskConfig { keep_free_percent: None, limit_bytes: None, scrub: true });
    assert_eq!(serve(&["--cache-keep-free=5"]).keep_free_percent, Some(5));
    assert!(!serve(&["--cache-scrub=false"]).scrub);
}

#[test]
fn packed_weights_are_kept_unless_told_otherwise() {
    let config = config(&["serve", "file.yaml", "--packed-cache=false"]).unwrap();
    assert!(!config.packed_cache);
}

#[test]
fn marks_out_of_order_and_missing_memory_are_refused() {
    let marks = [RUN.as_slice(), &["--memory-host=1000", "--evict-to=80"]].concat();
    assert!(config(&marks).unwrap_err().contains("--evict-to 80"));
    let nothing = [RUN.as_slice(), &["--memory-host=0"]].concat();
    assert!(config(&nothing).unwrap_err().contains("--memory-host is 0"));
}

#[test]
fn serve_listens_on_loopback_alone() {
    let config =
        config(&["serve", "file.yaml", "--cache-dir=/c", "--hub-endpoint=http://127.0.0.1:1"]).unwrap();
    assert!(config.listen.ip().is_loopback() && config.status_listen.ip().is_loopback());
    assert_eq!(config.cache_folder, PathBuf::from("/c"));
}
