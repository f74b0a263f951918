import pytest

from strideflax.training.run_folder import RunFolderError, append_metrics, forget_metrics_after, read_json, read_metrics


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "has no result.json"), ('{"half": ', "can't be read as JSON"), ("[1]", "must hold a JSON object")],
)
def test_what_is_not_a_result_is_said_in_one_line(tmp_path, content, message):
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    with pytest.raises(RunFolderError, match=message) as error:
        read_json(tmp_path / "result.json")
    assert "\n" not in str(error.value)


def test_metrics_survive_a_line_cut_short_and_forget_what_will_be_done_again(tmp_path):
    for epoch in (1, 2, 3):
        append_metrics(tmp_path, {"epoch": epoch, "step": 10 * epoch})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 4, "st')
    assert [record["epoch"] for record in read_metrics(tmp_path)] == [1, 2, 3]
    forget_metrics_after(tmp_path, 20)
    assert [record["epoch"] for record in read_metrics(tmp_path)] == [1, 2]
