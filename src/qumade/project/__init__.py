"""From two folders of pictures to a project: cut-outs, labels, a recipe, and a page that says what was understood."""
