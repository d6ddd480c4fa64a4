import os, json, shutil, sys, pyarrow as pa, datetime
from deltalake import DeltaTable, write_deltalake
N=int(sys.argv[1]); root='/tmp/log10k'
shutil.rmtree(root, ignore_errors=True); os.makedirs(root)
at=datetime.datetime(2025,8,1,tzinfo=datetime.timezone.utc)
s=pa.table({'id':pa.array([1],pa.int64()),'at':pa.array([at],pa.timestamp('us','UTC')),'x':['a']})
write_deltalake(root+'/staging',s)
t=s.append_column('load_batch_id',pa.array(['b'])).append_column('loaded_at',pa.array([at],pa.timestamp('us','UTC'))).append_column('row_hash',pa.array([None],pa.string()))
write_deltalake(root+'/target',t.slice(0,0))
for name in ['staging','target']:
    log=f'{root}/{name}/_delta_log'
    first=[json.loads(l) for l in open(f'{log}/{0:020}.json')]
    add=[a for a in first if 'add' in a]
    for v in range(1,N+1):
        info={"commitInfo":{"timestamp":1754000000000+v,"operation":"WRITE","operationParameters":{"mode":"Append"},"clientVersion":"x"}}
        lines=[info]
        if add:
            a=json.loads(json.dumps(add[0])); p=f"part-{v}.parquet"; os.link(f"{root}/{name}/{add[0]['add']['path']}",f"{root}/{name}/{p}"); a['add']['path']=p; lines.append(a)
        open(f'{log}/{v:020}.json','w').write('\n'.join(json.dumps(l) for l in lines))
    DeltaTable(f'{root}/{name}').create_checkpoint()
open(root+'/p.yaml','w').write('name: p\nsource: staging\ntarget: target\nunique_key: id\nupdated_at: at\nincremental: {mode: changes}\nas_of: 2025-09-01\n')
