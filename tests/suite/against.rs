//! What `plan --against` shows: pictures of a comparison, and the command in real repositories.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kastellan::plan::compare;
use kastellan::spec::Documents;
use kastellan::view::{ComparisonView, comparison_markdown, comparison_text};

use crate::documents::{accepted, cases, text};

fn case(file: &str) -> Documents {
    accepted(&[text("docs/users.yaml", std::fs::read(cases("against").join(file)).unwrap())]).0
}

fn view(before: &Documents, after: &Documents) -> ComparisonView {
    ComparisonView::new(&compare(before, after), ("main", before), ("docs", after))
}

#[test]
fn a_comparison_for_a_terminal() {
    insta::assert_snapshot!(comparison_text(&view(&case("before.yaml"), &case("after.yaml"))));
}

#[test]
fn a_comparison_for_a_pull_request() {
    insta::assert_snapshot!(comparison_markdown(&view(&case("before.yaml"), &case("after.yaml"))));
}

#[test]
fn a_comparison_for_programs() {
    let view = view(&case("before.yaml"), &case("after.yaml"));
    insta::assert_snapshot!(serde_json::to_string_pretty(&view).unwrap());
}

#[test]
fn nothing_is_compared_with_everything_and_the_same() {
    let (documents, none) = (case("before.yaml"), Documents::default());
    insta::assert_snapshot!(comparison_text(&view(&none, &documents)));
    insta::assert_snapshot!(comparison_text(&view(&documents, &documents)), @r"
    main → docs · 5 users declared

    No difference: both ask for the same. Nothing was contacted.
    ");
}

#[test]
fn a_comment_stays_within_what_a_pull_request_takes() {
    let user = |number: usize, name: &str| {
        let acl = format!("{{resource: {{type: topic, name: \"{name}\"}}, operations: [All]}}");
        let acls = (0..300).map(|rule| acl.replace("NN", &format!("{number}.{rule}"))).collect::<Vec<_>>().join(", ");
        format!(
            "---\napiVersion: kastellan.io/v1alpha1\nkind: KafkaUser\nmetadata: {{name: u{number}}}\n\
             spec: {{clusters: [prod], authentication: {{type: external}}, authorization: {{acls: [{acls}]}}}}\n"
        )
    };
    let platform = std::fs::read_to_string(cases("against").join("before.yaml")).unwrap();
    let name = format!("NN{}", "x".repeat(200));
    let users = (0..40).map(|number| user(number, &name)).collect::<String>();
    let after = accepted(&[text("docs/users.yaml", platform + &users)]).0;
    let markdown = comparison_markdown(&view(&case("before.yaml"), &after));
    assert!(markdown.chars().count() < 65_536);
    assert!(markdown.contains("… and 201 lines more.") && markdown.contains(" documents more that differ"));
    assert_eq!(markdown.matches("```").count() % 2, 0, "every block is closed");
}

/// A Git repository in a folder that goes with it. Its documents name a store, files and clusters that do not exist.
struct Repository(tempfile::TempDir);

impl Repository {
    fn new() -> Self {
        let repository = Self(tempfile::tempdir().unwrap());
        repository.git(&["init", "-q", "-b", "main"]);
        repository
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, program: &str, folder: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path().join(folder)).env_clear().env("HOME", self.path().join("no-home"));
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command
    }

    fn git(&self, arguments: &[&str]) {
        let mut command = self.command("git", "");
        command.args(["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgSign=false"]);
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn write_case(&self, path: &str, file: &str) {
        self.write(path, &std::fs::read_to_string(cases("against").join(file)).unwrap());
    }

    fn commit(&self) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-qm", "documents"]);
    }

    /// Runs `kastellan plan --against …` in a folder.
    fn compare(&self, folder: &str, arguments: &[&str]) -> Seen {
        let mut command = self.command(env!("CARGO_BIN_EXE_kastellan"), folder);
        Seen(command.args(["plan", "--against"]).args(arguments).output().unwrap())
    }
}

struct Seen(Output);

impl Seen {
    fn status(&self) -> Option<i32> {
        self.0.status.code()
    }

    fn stdout(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    fn stderr(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    fn lines_with(&self, text: &str) -> usize {
        self.stdout().lines().filter(|line| line.contains(text)).count()
    }

    #[track_caller]
    fn is(&self, status: i32) {
        assert_eq!(self.status(), Some(status), "{}{}", self.stdout(), self.stderr());
    }
}

#[test]
fn a_working_tree_is_compared_with_a_revision_and_nothing_is_contacted() {
    let repository = Repository::new();
    repository.write_case("kastellan/users.yaml", "before.yaml");
    repository.commit();
    let same = repository.compare("", &["HEAD", "--detailed-exitcode"]);
    same.is(0);
    assert!(same.stdout().contains("No difference"), "{}", same.stdout());

    repository.write_case("kastellan/users.yaml", "after.yaml");
    let differs = repository.compare("", &["main", "--detailed-exitcode"]);
    differs.is(2);
    assert_eq!(differs.stderr(), "");
    let expected = comparison_text(&view(&case("before.yaml"), &case("after.yaml")));
    let expected = expected.replace("docs/", "kastellan/").replacen("→ docs", "→ kastellan", 1);
    assert_eq!(differs.stdout(), expected);
    repository.compare("", &["main"]).is(0);

    let json = repository.compare("", &["main", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout()).unwrap();
    assert_eq!(json["schema"], "kastellan.io/comparison/v1alpha1");
    assert!(!repository.path().join("kastellan/store").exists() && !repository.path().join("no-home").exists());
}

#[test]
fn paths_are_looked_up_where_they_stand_in_the_repository() {
    let repository = Repository::new();
    repository.write_case("teams/kafka/documents.yaml", "before.yaml");
    repository.write("teams/kafka/notes.txt", "no document");
    repository.write("teams/kafka/.hidden/broken.yaml", "{");
    repository.commit();
    repository.write_case("teams/kafka/documents.yaml", "after.yaml");
    let whole = repository.compare("", &["HEAD", "-f", "teams/kafka"]).stdout();
    let below = repository.compare("teams", &["HEAD", "-f", "kafka"]).stdout();
    assert_eq!(whole.replace("teams/kafka", "kafka"), below);
    let file = repository.compare("teams/kafka", &["HEAD", "-f", "documents.yaml", "-f", "."]);
    file.is(0);
    assert!(file.lines_with("allow All on every topic") == 1, "{}", file.stdout());
    let absolute = repository.path().join("teams");
    let outside = repository.compare("teams/kafka", &["HEAD", "-f", absolute.to_str().unwrap()]);
    assert!(outside.lines_with("allow All on every topic") == 1, "{}{}", outside.stdout(), outside.stderr());
}

#[test]
fn before_the_first_document_there_was_none() {
    let repository = Repository::new();
    repository.write("README.md", "nothing yet");
    repository.commit();
    repository.write_case("kastellan/users.yaml", "before.yaml");
    let first = repository.compare("", &["HEAD"]);
    first.is(0);
    assert!(first.stderr().contains("`kastellan` does not exist in `HEAD`"), "{}", first.stderr());
    assert!(first.stdout().starts_with("HEAD → kastellan · 5 users declared, 0 before"), "{}", first.stdout());
}

#[test]
fn older_documents_with_errors_are_named_as_such() {
    let repository = Repository::new();
    repository.write("kastellan/users.yaml", "apiVersion: kastellan.io/v1alpha1\nkind: KafkaUsr\n");
    repository.commit();
    repository.write_case("kastellan/users.yaml", "before.yaml");
    let broken = repository.compare("", &["HEAD"]);
    broken.is(1);
    assert!(broken.stderr().contains("--> HEAD:kastellan/users.yaml:2:7"), "{}", broken.stderr());
    assert!(broken.stderr().contains("the older documents, those of `HEAD`, have errors"), "{}", broken.stderr());
    assert_eq!(broken.stdout(), "");
}

#[test]
fn two_folders_are_compared_as_if_they_stood_in_one_place() {
    let repository = Repository::new();
    repository.write_case("old/sub/users.yaml", "before.yaml");
    repository.write_case("new/sub/users.yaml", "before.yaml");
    let same = repository.compare("", &["old", "-f", "new", "--detailed-exitcode"]);
    same.is(0);
    repository.compare("", &["old/sub/users.yaml", "-f", "new/sub/users.yaml", "--detailed-exitcode"]).is(0);
    repository.write("old/sub/users.yaml", "kind: x");
    let broken = repository.compare("", &["old", "-f", "new"]);
    broken.is(1);
    assert!(broken.stderr().contains("--> old/sub/users.yaml:"), "{}", broken.stderr());
}

#[test]
fn names_that_are_no_revision_are_refused() {
    let repository = Repository::new();
    repository.write_case("kastellan/users.yaml", "before.yaml");
    repository.commit();
    for name in ["no-such-branch", "HEAD:kastellan", "a..b", "HEAD\n--all", "--help", "-p", ""] {
        let argument = format!("--against={name}");
        let mut command = repository.command(env!("CARGO_BIN_EXE_kastellan"), "");
        let refused = Seen(command.args(["plan", &argument]).output().unwrap());
        refused.is(1);
        assert!(refused.stderr().starts_with("error: `"), "{name:?}: {}", refused.stderr());
    }
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::copy(cases("against").join("before.yaml"), elsewhere.path().join("a.yaml")).unwrap();
    let outside = repository.compare("", &["HEAD", "-f", elsewhere.path().to_str().unwrap()]);
    outside.is(1);
    assert!(outside.stderr().contains("is in no Git work tree"), "{}", outside.stderr());
}

#[test]
fn links_of_a_revision_are_followed_to_files_and_never_out_of_it() {
    let repository = Repository::new();
    repository.write_case("shared/users.yaml", "before.yaml");
    std::fs::create_dir_all(repository.path().join("kastellan")).unwrap();
    let link = |to: &str, name: &str| {
        let path = repository.path().join("kastellan").join(name);
        let _ = std::fs::remove_file(&path);
        std::os::unix::fs::symlink(to, path).unwrap();
    };
    link("../shared/users.yaml", "users.yaml");
    link("users.yaml", "again.yaml");
    link("../no-document", "dangling");
    repository.commit();
    repository.compare("", &["HEAD", "--detailed-exitcode"]).is(0);
    link("/etc/hostname", "outside.yaml");
    repository.commit();
    std::fs::remove_file(repository.path().join("kastellan/outside.yaml")).unwrap();
    let outside = repository.compare("", &["HEAD"]);
    outside.is(1);
    assert!(outside.stderr().contains("`kastellan/outside.yaml` is a symbolic link"), "{}", outside.stderr());
    link("../shared", "folder");
    std::fs::remove_file(repository.path().join("kastellan/users.yaml")).unwrap();
    std::fs::remove_file(repository.path().join("kastellan/again.yaml")).unwrap();
    repository.commit();
    let folder = repository.compare("", &["HEAD"]);
    folder.is(1);
    assert!(folder.stderr().contains("`kastellan/folder` is a symbolic link"), "{}", folder.stderr());
}
