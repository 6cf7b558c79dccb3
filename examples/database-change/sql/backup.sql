-- A table of this name is that of a run which was undone: the pre-check makes sure that nothing of the change is there.
drop table if exists suppliers_chg0045010;

create table suppliers_chg0045010 as
select s.id, s.term from suppliers s join payment_terms t on t.code = s.term where t.days > 60;
