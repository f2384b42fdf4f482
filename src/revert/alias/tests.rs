use super::*;

const FUNCTION: &str = "arn:aws:lambda:eu-west-1:123456789012:function:checkout";

fn described(main: &str, more: &[(&str, f64)]) -> GetAliasOutput {
    let weights = more.iter().map(|(version, share)| ((*version).to_owned(), *share)).collect();
    let routing = AliasRoutingConfiguration::builder().set_additional_version_weights(Some(weights)).build();
    GetAliasOutput::builder()
        .alias_arn(format!("{FUNCTION}:live"))
        .function_version(main)
        .routing_config(routing)
        .build()
}

fn read(main: &str, more: &[(&str, f64)]) -> RuleState {
    state(&format!("{FUNCTION}:live"), FUNCTION, &described(main, more), vec![])
}

fn weights(state: &RuleState) -> Vec<(String, i32)> {
    let forward = state.forward.as_ref().unwrap();
    let name = |arn: &str| arn.strip_prefix(FUNCTION).unwrap().to_owned();
    forward.weights().into_iter().map(|(arn, weight)| (name(arn), weight)).collect()
}

fn written(to: &Forward) -> (String, Vec<(String, f64)>) {
    let (main, more) = routing(to, FUNCTION).unwrap();
    (main, more.into_iter().collect())
}

#[test]
fn the_main_version_has_what_the_other_leaves_it() {
    let state = read("7", &[("8", 0.1)]);
    assert_eq!(weights(&state), [(":7".into(), 900_000_000), (":8".into(), 100_000_000)]);
    assert_eq!(state.label(), "checkout:7 90 %, :8 10 %");
    assert!(state.understood().is_ok());
    // No routing, an empty one, and none at all are one state; which version is the main one makes none.
    let alone = GetAliasOutput::builder().alias_arn(format!("{FUNCTION}:live")).function_version("7").build();
    let alone = super::state(&format!("{FUNCTION}:live"), FUNCTION, &alone, vec![]);
    assert_eq!(alone.fingerprint(), read("7", &[]).fingerprint());
    assert_eq!(alone.label(), "checkout:7");
    assert_eq!(read("8", &[("7", 0.9)]).fingerprint(), state.fingerprint());
    assert_ne!(read("7", &[("8", 0.0)]).fingerprint(), alone.fingerprint(), "put back as it was");
}

#[test]
fn what_is_read_is_written_back_as_it_was() {
    for (main, more) in [
        ("7", vec![]),
        ("7", vec![("8", 0.1)]),
        ("8", vec![("7", 0.9)]),
        ("7", vec![("8", 0.0)]),
        ("12", vec![("9", 0.001)]),
    ] {
        let state = read(main, &more);
        let (number, shares) = written(state.forward.as_ref().unwrap());
        let wanted: Vec<(String, f64)> = more.iter().map(|(v, share)| ((*v).to_owned(), *share)).collect();
        assert_eq!(number, main);
        assert_eq!(format!("{shares:?}"), format!("{wanted:?}"));
        let shares: Vec<(&str, f64)> = shares.iter().map(|(v, share)| (v.as_str(), *share)).collect();
        assert_eq!(read(&number, &shares).fingerprint(), state.fingerprint(), "our own write is recognised");
    }
    let third = read("7", &[("8", 1.0 / 3.0)]);
    let (_, shares) = written(third.forward.as_ref().unwrap());
    assert_eq!(read("7", &[("8", shares[0].1)]).fingerprint(), third.fingerprint());
}

#[test]
fn of_a_state_that_nobody_described_the_larger_share_is_the_main_version() {
    let group =
        |version: &str, weight| Group { arn: format!("{FUNCTION}:{version}").into(), weight: Some(weight) };
    let to = |groups| Forward { scalar: None, groups, stickiness: None };
    let step = to(vec![group("7", 100_000_000), group("8", 900_000_000)]);
    assert_eq!(written(&step), ("8".into(), vec![("7".into(), 0.1)]));
    assert_eq!(written(&to(vec![group("7", 1)])), ("7".into(), vec![]), "exclusive");
    let odd = to(vec![group("7", 10), group("8", 90)]);
    assert!(routing(&odd, FUNCTION).unwrap_err().contains("100 together"));
    let other =
        Group { arn: "arn:aws:lambda:eu-west-1:123456789012:function:cart:7".into(), weight: Some(1) };
    assert!(routing(&to(vec![other]), FUNCTION).unwrap_err().contains("is no version of"));
    assert!(routing(&to(vec![]), FUNCTION).is_err());
}

#[test]
fn what_isnt_understood_is_said() {
    let why = |state: RuleState| state.understood().unwrap_err();
    assert!(why(read("$LATEST", &[])).contains("\"$LATEST\", which changes under its name"));
    assert!(why(read("7", &[("8", 1.5)])).contains("version 8 with the weight 1.5"));
    assert!(why(read("7", &[("$LATEST", 0.5)])).contains("version $LATEST"));
    assert!(why(read("7", &[("7", 0.5)])).contains("as its main version"));
    assert!(why(read("7", &[("8", 0.7), ("9", 0.7)])).contains("more than all requests"));
    assert!(why(read("7", &[("8", 0.1), ("9", 0.1)])).contains("the alias forwards to 3 versions"));
    assert!(why(read("", &[])).contains("main version"));
    let other = state("arn:other:live", FUNCTION, &described("7", &[]), vec![]);
    assert!(other.unknown[0].contains("it says that it is"), "{:?}", other.unknown);
    let news = state(&format!("{FUNCTION}:live"), FUNCTION, &described("7", &[]), vec!["StickyFor".into()]);
    assert!(why(news).contains("the alias has elements that this version doesn't know (StickyFor)"));
}

#[test]
fn an_unknown_member_of_the_routing_is_found_in_the_raw_answer() {
    let unknown =
        |body: &str| unknown_routing(&RawBody::of(body)).iter().map(ToString::to_string).collect::<Vec<_>>();
    for known in [
        r#"{"AliasArn": "a", "New": 1}"#,
        r#"{"RoutingConfig": null}"#,
        r#"{"RoutingConfig": {}}"#,
        r#"{"RoutingConfig": {"AdditionalVersionWeights": {"8": 0.1}}}"#,
    ] {
        assert_eq!(unknown(known), Vec::<String>::new(), "{known}");
    }
    assert_eq!(
        unknown(r#"{"RoutingConfig": {"AdditionalVersionWeights": {}, "StickyFor": 60}}"#),
        ["StickyFor"]
    );
    assert_eq!(unknown(r#"{"RoutingConfig": 1}"#), ["RoutingConfig"]);
    assert_eq!(unknown("no JSON"), ["the raw answer could not be had"]);
    assert_eq!(unknown_routing(&RawBody::default()).len(), 1);
}

#[test]
fn only_an_active_version_is_ready() {
    assert_eq!(health(Some(&State::Active)), HealthState::Healthy);
    for state in [
        Some(State::Inactive),
        Some(State::Pending),
        Some(State::Failed),
        Some("Resting".into()),
        Some(State::Deleting),
        None,
    ] {
        assert_ne!(health(state.as_ref()), HealthState::Healthy, "{state:?}");
    }
}
