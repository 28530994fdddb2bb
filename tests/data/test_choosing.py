import pytest

from reproduce import data
from reproduce.common.errors import UserError
from synthetic_files import FREY_NAME, mat


def test_unknown_names_list_the_valid_ones():
    for call in (lambda: data.load("minst"), lambda: data.resolve(["mnist", "minst"])):
        with pytest.raises(UserError, match="'minst'") as info:
            call()
        assert "mnist, freyface, digits, digits_continuous" in str(info.value)


def test_a_second_load_is_the_same_object(tmp_path):
    assert data.load("digits") is data.load("digits", "")
    assert data.load("digits", tmp_path) is data.load("digits", str(tmp_path / "x" / ".."))


def test_a_data_folder_that_is_none(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UserError, match="does not exist; set DATA_DIR to an existing folder"):
        data.load("mnist", tmp_path / "missing")
    with pytest.raises(UserError, match="is not a folder"):
        data.load("digits", file)
    with pytest.raises(UserError, match="does not exist"):
        data.resolve(["mnist"], tmp_path / "missing")


def test_what_is_there_is_used(data_dir, small_frey):
    (data_dir / FREY_NAME).write_bytes(mat(ff=small_frey))
    resolution = data.resolve(["freyface", "digits"], data_dir, "error")
    assert resolution.names == {"freyface": "freyface", "digits": "digits"}
    assert resolution.replaced == {}
    assert resolution.banner() == ""


def test_what_is_missing_is_replaced_and_said_loudly(cache, small_frey):
    cache.mkdir()
    (cache / FREY_NAME).write_bytes(mat(ff=small_frey))
    resolution = data.resolve(["mnist", "freyface", "mnist"], fallback="digits")
    assert resolution.names == {"mnist": "digits", "freyface": "freyface"}
    assert resolution.replaced == {"mnist": "digits"}
    banner = resolution.banner()
    for part in (
        "NOT MNIST: THE REAL DATA ARE MISSING",
        "scikit-learn's bundled 8x8 digits as a stand-in",
        "Its results are NOT MNIST",
        "mnist is replaced by digits",
        "Three ways to get the real data",
        "data.fallback=error",
    ):
        assert part in banner
    assert "Frey Face" not in banner
    assert all(line.startswith("!!") for line in banner.splitlines())


def test_both_stand_ins():
    resolution = data.resolve(["mnist", "freyface"])
    assert resolution.names == data.FALLBACK
    assert "NOT MNIST and NOT Frey Face" in resolution.banner()
    assert all(name in data.DATASETS for name in data.FALLBACK.values())


def test_fallback_error_stops():
    with pytest.raises(data.DataUnavailable, match="MNIST is not available"):
        data.resolve(["digits", "mnist"], fallback="error")


def test_all_that_is_missing_is_named_at_once():
    with pytest.raises(UserError) as stop:
        data.resolve(["mnist", "digits", "freyface"], fallback="error")
    said = str(stop.value)
    assert said.index("MNIST is not available") < said.index("Frey Face is not available")
    assert said.count("Three ways to get the real data") == 1
    assert FREY_NAME in said.split("Three ways")[1]


def test_who_names_a_folder_gets_the_real_data_or_an_error(data_dir):
    (data_dir / "freyfaces.pkl").write_bytes(b"")
    (data_dir / "old").mkdir()
    with pytest.raises(UserError) as stop:
        data.resolve(["freyface", "digits"], data_dir, "digits")
    said = str(stop.value)
    assert f"DATA_DIR ({data_dir}): not there; it holds freyfaces.pkl, old/\n" in said
    assert f"File names that are understood: {FREY_NAME}.\n" in said
    assert said.endswith("leave DATA_DIR unset.")


def test_a_folder_with_one_of_two_data_sets_names_the_other(data_dir, small_frey):
    (data_dir / FREY_NAME).write_bytes(mat(ff=small_frey))
    for number in range(10):
        (data_dir / f"note-{number}").write_text("")
    with pytest.raises(UserError) as stop:
        data.resolve(["mnist", "freyface"], data_dir)
    said = str(stop.value)
    assert "Frey Face" not in said
    assert "note-6, and 3 more\n" in said
    assert "train-images.idx3-ubyte, " in said
    assert "or the same in MNIST/raw/ there" in said


def test_an_empty_folder_is_said_to_be_empty(data_dir):
    with pytest.raises(UserError, match="not there; it is empty"):
        data.resolve(["mnist"], data_dir)


@pytest.mark.parametrize("kind", ["folder", "broken link"])
def test_what_is_no_file_is_not_passed_over(data_dir, kind):
    if kind == "folder":
        (data_dir / FREY_NAME).mkdir()
    else:
        (data_dir / FREY_NAME).symlink_to(data_dir / "nowhere")
    with pytest.raises(UserError, match=rf"{FREY_NAME} is a folder or leads nowhere"):
        data.resolve(["freyface"], data_dir, "digits")


def test_a_damaged_file_is_never_replaced(data_dir):
    (data_dir / FREY_NAME).write_bytes(b"?")
    with pytest.raises(UserError, match="is not the expected file"):
        data.resolve(["freyface"], data_dir, "digits")


def test_another_fallback_is_refused():
    with pytest.raises(UserError, match="choose one of digits, error"):
        data.resolve(["mnist"], fallback="mnist")
