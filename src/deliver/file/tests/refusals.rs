//! What is never replaced, removed or followed.

use super::*;

#[test]
fn a_higher_generation_is_never_replaced_or_removed() {
    let folder = folder();
    let mut case = case_in(&folder);
    case.generation = 5;
    case.deliver().unwrap();
    let before = case.text();
    let recorded = case.recorded.take();
    case.generation = 4;
    let newer =
        |error: &DeliveryError| matches!(error, DeliveryError::Newer { found: Generation(5), ours: Generation(4), .. });
    assert!(matches!(case.fact(), DeliveryFact::Blocked(error) if newer(&error)));
    assert!(newer(&case.deliver().unwrap_err()));
    case.recorded = recorded;
    assert!(newer(&case.withdraw().unwrap_err()));
    assert_eq!(case.text(), before);
}

#[test]
fn racing_processes_leave_the_highest_generation() {
    let folder = folder();
    let writers: Vec<_> = (0..4)
        .map(|offset| {
            let case = case_in(&folder);
            std::thread::spawn(move || {
                // An instance of its own has no turn in common with the others: only the lock of the folder.
                let delivery = delivery();
                for step in 0..20 {
                    let case = Case { generation: 1 + (step * 7 + offset * 5) % 40, ..case.clone() };
                    loop {
                        match delivery.deliver(&[case.shipment()]).pop().unwrap() {
                            Err(DeliveryError::Busy { .. }) => std::thread::yield_now(),
                            Ok(_) | Err(DeliveryError::Newer { .. }) => break,
                            Err(other) => panic!("{}", Chain(&other)),
                        }
                    }
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let highest = (0..4).flat_map(|offset| (0..20).map(move |step| 1 + (step * 7 + offset * 5) % 40)).max().unwrap();
    assert!(case_in(&folder).text().contains(&format!("generation: {highest}\n")));
    assert_eq!(names(folder.path()), ["client.properties"]);
}

#[test]
fn a_folder_that_another_process_writes_to_is_tried_again_later() {
    let folder = folder();
    let other = Folder::open(folder.path(), Purpose::Change).unwrap();
    let error = case_in(&folder).deliver().unwrap_err();
    assert!(matches!(error, DeliveryError::Busy { .. }) && error.disposition() == Disposition::Retry);
    drop(other);
    case_in(&folder).deliver().unwrap();
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let folder = folder();
    let mut case = case_in(&folder);
    fs::write(&case.target.path, "sasl.username=by-hand\n").unwrap();
    assert!(matches!(case.fact(), DeliveryFact::Blocked(DeliveryError::Foreign { .. })));
    let error = case.deliver().unwrap_err();
    assert!(matches!(error, DeliveryError::Foreign { .. }) && error.hint().unwrap().contains("mv "));
    fs::remove_file(&case.target.path).unwrap();

    case.deliver().unwrap();
    let mut other = case_in(&folder);
    other.user = "orders/orders".parse().unwrap();
    assert!(matches!(other.fact(), DeliveryFact::Blocked(DeliveryError::OfOtherUser { .. })));
    assert!(matches!(other.deliver().unwrap_err(), DeliveryError::OfOtherUser { user, .. } if user == case.user));

    // Replaced by hand after it was delivered.
    fs::remove_file(&case.target.path).unwrap();
    fs::write(&case.target.path, "sasl.username=by-hand\n").unwrap();
    assert!(matches!(case.withdraw().unwrap_err(), DeliveryError::Foreign { .. }));
    assert!(matches!(case.deliver().unwrap_err(), DeliveryError::Foreign { .. }));
    assert_eq!(case.text(), "sasl.username=by-hand\n");
}

#[test]
fn only_a_plain_file_is_a_target() {
    let folder = folder();
    let mut case = case_in(&folder);
    let not_a_file = |error: DeliveryError, expected: &str| match error {
        DeliveryError::NotAFile { what, .. } => assert_eq!(what, expected),
        other => panic!("{other}"),
    };
    let elsewhere = folder.path().join("elsewhere");
    symlink(&elsewhere, &case.target.path).unwrap();
    not_a_file(case.deliver().unwrap_err(), "a symbolic link");
    assert!(matches!(case.fact(), DeliveryFact::Blocked(DeliveryError::NotAFile { .. })));
    assert!(!elsewhere.exists());
    fs::remove_file(&case.target.path).unwrap();

    assert!(Command::new("mkfifo").arg(&case.target.path).status().unwrap().success());
    not_a_file(case.deliver().unwrap_err(), "something special");
    fs::remove_file(&case.target.path).unwrap();

    fs::create_dir(&case.target.path).unwrap();
    not_a_file(case.deliver().unwrap_err(), "a folder");

    // A link on the way to the folder is fine.
    let link = folder.path().join("link");
    fs::create_dir(folder.path().join("real")).unwrap();
    symlink("real", &link).unwrap();
    Case::new(&link.join("client.properties")).deliver().unwrap();
    assert_eq!(names(&folder.path().join("real")), ["client.properties"]);
}

#[test]
fn the_folder_has_to_exist_and_the_path_to_be_absolute() {
    let folder = folder();
    let mut case = Case::new(&folder.path().join("absent/client.properties"));
    assert!(matches!(case.fact(), DeliveryFact::Blocked(DeliveryError::NoFolder { .. })));
    let error = case.deliver().unwrap_err();
    assert!(error.hint().unwrap().contains("install -d"), "{error}");
    for path in ["client.properties", "/", "/tmp/.."] {
        assert!(matches!(Case::new(Path::new(path)).deliver(), Err(DeliveryError::Path { .. })), "{path}");
    }
}

#[test]
fn files_of_another_machine_are_unknown() {
    let folder = folder();
    let mut case = case_in(&folder);
    case.deliver().unwrap();
    let there = FileDelivery::new("there".into(), None);
    let fact = there.observe(&[case.request()]).pop().unwrap();
    assert!(matches!(fact, DeliveryFact::OtherMachine { machine } if machine == "here"));
    let recorded = case.recorded.clone().unwrap();
    let withdrawal = Withdrawal { user: case.user.clone(), newest: Generation(1), recorded };
    assert!(matches!(there.withdraw(&[withdrawal]).pop().unwrap(), Err(DeliveryError::OtherMachine { .. })));
    assert!(case.target.path.exists());
}

#[test]
fn a_name_that_the_format_cannot_carry_is_known_beforehand() {
    let folder = folder();
    let mut case = case_in(&folder);
    case.target.format = FileFormat::Librdkafka;
    let mut request = case.request();
    request.username = UserName::parse(" payments").unwrap();
    let fact = delivery().observe(&[request]).pop().unwrap();
    let DeliveryFact::Blocked(error) = fact else { panic!("{fact:?}") };
    insta::assert_snapshot!(Chain(&error), @"the credential cannot be rendered: format `librdkafka` cannot carry the user name: it begins or ends with white space, which readers of this format trim");
    case.password = format!("{PASSWORD} ");
    let error = case.deliver().unwrap_err();
    assert!(!format!("{} {error:?}", Chain(&error)).contains(PASSWORD));
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn two_deliveries_to_one_path_are_a_mistake_that_the_second_one_hears_of() {
    let folder = folder();
    let first = case_in(&folder);
    let mut second = case_in(&folder);
    second.user = "orders/orders".parse().unwrap();
    let results = delivery().deliver(&[first.shipment(), second.shipment()]);
    assert!(results[0].is_ok());
    assert!(matches!(&results[1], Err(DeliveryError::OfOtherUser { .. })));
}
