"""The revisions of the schema. They run by themselves (`Store.migrate`); none needs a person."""
