-- Each row is something that is not as it should be.
select 'supplier ' || id || ' still has ' || days || ' days' from suppliers_paid_late order by id;

select 'supplier ' || s.id || ' has ' || s.term || ' instead of NET60'
from suppliers s join suppliers_chg0045010 b on b.id = s.id where s.term <> 'NET60' order by s.id;
